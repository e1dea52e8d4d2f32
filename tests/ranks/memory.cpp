// What a rank holds of a model, by the allocator's counters. As a test a small one; `ranks_memory vit_base` prints the
// figures of a large one.
#include <cmath>

#include "models/data_parallel.h"
#include "models/vision_transformer.h"
#include "ops/elementwise/functions.h"
#include "ops/reduce/reduce.h"
#include "runtime/allocator.h"
#include "tests/ranks/check.h"

namespace demi::ranks {
namespace {

struct Figures {
    double live = 0, peak = 0;  // bytes per parameter on the rank that has most: between steps, in one
    double unit = 0;            // of the largest, f32
    double parameters = 0, loss = 0;
};

Figures train(const Communicator& world, const ViTConfig& config, Sharding sharding, int64_t shards,
              int steps) {
    const int64_t before = allocator_stats().live_bytes;
    Generator generator{1};
    DinoVisionTransformer model(config, generator), average(config, generator);
    DataParallel parallel(world, {shards, sharding}, model);
    parallel.add_average(average);
    Optimizer optimizer(parallel.parameters(), std::vector<ParameterOptions>(parallel.parameters().size()));
    GradScaler scaler({.enabled = false});
    Figures f;
    for (const FlatModel::Entry& e : parallel.model().entries()) f.parameters += static_cast<double>(e.count);
    for (const FlatModel::Unit& u : parallel.model().units())
        f.unit = std::max(f.unit, 4 * static_cast<double>(u.total));
    for (int step = 0; step < steps; ++step) {
        if (step == 1) reset_peak();  // the first makes the moments
        for (int64_t shard : parallel.own_shards()) {
            Generator draws =
                Generator{2}.fork(static_cast<uint64_t>(step)).fork(static_cast<uint64_t>(shard));
            ForwardContext context;
            context.training = true;
            context.units = &parallel;
            parallel.begin_shard();
            const Tensor image = randn({1, 3, config.img_size, config.img_size}, draws);
            const Variable loss = mean(square(model.forward(Variable(image), context)));
            scaler.backward(loss);
            f.loss = loss.item();
            parallel.end_shard();
        }
        parallel.step(optimizer, scaler, {.lr = 1e-4});
        parallel.update_average(0.99);
    }
    const AllocatorStats stats = allocator_stats();
    const std::vector<double> own = {static_cast<double>(stats.live_bytes - before),
                                     static_cast<double>(stats.peak_bytes - before)};
    const std::vector<double> all = world.all_gather(Tensor::from(own, {1, 2})).to_vector<double>();
    for (size_t at = 0; at < all.size(); at += 2) {
        f.live = std::max(f.live, all[at] / f.parameters);
        f.peak = std::max(f.peak, all[at + 1] / f.parameters);
    }
    return f;
}

void print(const Communicator& world, const Figures& f, const std::string& what) {
    if (world.rank() == 0)
        std::printf("# %s, %d ranks: %.1f M parameters; bytes per parameter and rank: %.2f between steps, "
                    "%.2f at most; the "
                    "largest unit has %.2f\n",
                    what.c_str(), world.size(), f.parameters / 1e6, f.live, f.peak, f.unit / f.parameters);
    std::fflush(stdout);
}

// A picture of a few tokens: activations are small beside a block.
ViTConfig small() {
    ViTConfig config;
    config.img_size = 32;
    config.embed_dim = 192;
    config.num_heads = 3;
    config.depth = 8;
    return config;
}

void test(Cases& cases, const Communicator& world) {
    const double ranks = world.size();
    for (Sharding sharding : {Sharding::none, Sharding::grad_op, Sharding::full}) {
        const Figures f = train(world, small(), sharding, 4, 3);
        print(world, f, std::string("small, ") + name(sharding));
        // Without gradients between steps: parameters 4, moments 8, average 4; slices are rounded up.
        const double held = sharding == Sharding::none      ? 16
                            : sharding == Sharding::grad_op ? 4 + 12 / ranks
                                                            : 16 / ranks;
        cases.run(std::string("between steps, ") + name(sharding), [&] { return f.live <= held * 1.05; });
        if (sharding != Sharding::full) continue;
        // Where a rank takes several shards, their sums wait for their neighbours in the tree.
        const double waiting = 4 / ranks * std::log2(4 / ranks);
        cases.run("in a step: 20 / R bytes a parameter, two units, and activations",
                  [&] { return f.peak <= (20 / ranks + waiting) * 1.05 + 2 * f.unit / f.parameters + 0.6; });
    }
}

}  // namespace
}  // namespace demi::ranks

int main(int argc, char** argv) {
    using namespace demi;
    const Job job({.timeout = 600});
    const Communicator& world = job.world();
    if (argc > 1) {
        ViTConfig config = vit_config(argv[1]);
        config.img_size = argc > 3 ? std::atoi(argv[3]) : 32;
        const std::string mode = argc > 2 ? argv[2] : "full";
        const ranks::Figures f = ranks::train(world, config, parse_sharding(mode), world.size(), 3);
        ranks::print(world, f, std::string(argv[1]) + ", " + mode);
        return 0;
    }
    ranks::Cases cases(world);
    ranks::test(cases, world);
    return cases.status();
}
