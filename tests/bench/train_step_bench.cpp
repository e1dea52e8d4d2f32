// Training steps of a vision transformer on command, for tests/bench/train_step.py,
// which runs PyTorch beside it.
//   bench_train_step MODEL BATCH BOUNDARY DATA [WEIGHTS|- [SHARDING SHARDS]]
// MODEL tiny, small or nested (2 large and 8 small crops of each image); BOUNDARY off, strict or wide; DATA:
// the images as raw f32, batch after batch; WEIGHTS: the first weights are written there (safetensors); SHARDING
// none, grad_op or full: the batch is cut into SHARDS, on the ranks of a launcher. Then from standard input (of
// rank 0), a line of JSON in answer to each:
//   steps N         {"ms": [...], "loss": last}
//   comm N          {"share"}: of N steps, the part that is spent in transfers and waiting for them; the worst rank's
//   memory          {"peak_rss_kb", "system_allocations" so far, "live_peak_bytes"}
//   profile FILE N  a trace of N steps to FILE, its table to standard error
// With "peaks" for its only argument it answers every line with {"flops", "bandwidth"} per second, without
// any it makes one tensor and ends: the time to start.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "models/data_parallel.h"
#include "models/vision_transformer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/allocator.h"
#include "runtime/comm/job.h"
#include "runtime/profile.h"
#include "tests/bench/peaks.h"

namespace demi {
namespace {

struct Setup {
    ViTConfig config;
    int64_t classes = 0;
    std::vector<Shape> images;
};

Setup setup_of(const std::string& model, int64_t batch) {
    Setup s;
    if (model == "tiny") {
        s.config.img_size = 32;
        s.config.patch_size = 4;
        s.config.embed_dim = 192;
        s.config.num_heads = 3;
        s.classes = 10;
        s.images = {{batch, 3, 32, 32}};
    } else if (model == "small" || model == "nested") {
        s.config = vit_config("vit_small");
        s.classes = 1000;
        s.images = {{batch, 3, 224, 224}};
        if (model == "nested") {
            s.config.drop_path_rate = 0.3;
            s.config.drop_path_uniform = true;
            s.config.init_values = 1e-5;
            s.images = {{2 * batch, 3, 224, 224}, {8 * batch, 3, 96, 96}};
        }
    } else {
        fail("bench_train_step", "the model is tiny, small or nested: got '", model, "'");
    }
    return s;
}

struct Network {
    DinoVisionTransformer backbone;
    Linear head;
    void visit(const std::string& prefix, const ParameterVisitor& fn) {
        backbone.visit(prefix, fn);
        head.visit(prefix + "head.", fn);
    }
};

class Trainer {
  public:
    // parts: shards of the batch, or 1 with a null `world`: the plain step of one process
    Trainer(const Setup& setup, BoundaryMode mode, const std::string& data, const std::string& weights,
            const Communicator* world, const ParallelOptions& parts)
        : network_{DinoVisionTransformer(setup.config, generator_),
                   Linear(setup.config.embed_dim, setup.classes, true, generator_)} {
        std::ifstream in(data, std::ios::binary);
        for (const Shape& shape : setup.images) {
            Tensor t = Tensor::empty(shape);
            in.read(static_cast<char*>(t.mutable_raw()), t.numel() * 4);
            check(in.good(), "bench_train_step", "'", data, "' must hold images ", shape);
            images_.emplace_back(t);
            std::vector<int64_t> labels;
            for (int64_t i = 0; i < shape[0]; ++i) labels.push_back(i * 7 % setup.classes);
            labels_.push_back(Tensor::from(labels, {shape[0]}));
        }
        const NamedParameters parameters = parameters_of(network_);
        if (!weights.empty() && weights != "-") {
            NamedTensors named;
            for (const auto& [name, p] : parameters) named.emplace_back(name, p.value());
            write_safetensors(weights, named);
        }
        if (world != nullptr) {
            parallel_ = std::make_unique<DataParallel>(*world, parts, network_);
            context_.units = parallel_.get();
        }
        const NamedParameters& updated = parallel_ ? parallel_->parameters() : parameters;
        optimizer_ = std::make_unique<Optimizer>(updated, parameter_options(updated, {}));
        context_.training = true;
        context_.generator = &generator_;
        context_.boundary.mode = mode;
    }

    double step() {
        const ProfileScope scope("step");
        StepRates rates;
        rates.lr = 1e-4;
        rates.weight_decay = 0.05;
        if (parallel_) {
            std::vector<double> losses;
            for (int64_t shard : parallel_->own_shards()) {
                parallel_->begin_shard();
                losses.push_back(pass(shard, parallel_->options().shards));
                parallel_->end_shard();
            }
            parallel_->step(*optimizer_, scaler_, rates);
            const auto count = static_cast<int64_t>(losses.size());
            return mean(Variable(parallel_->over_shards(Tensor::from(losses, {count, 1})))).item();
        }
        const double value = pass(0, 1);
        const ProfileScope update("optimizer");
        optimizer_->step(rates);
        optimizer_->zero_grad();
        return value;
    }

  private:
    // Forward and backward of a shard of the images.
    double pass(int64_t shard, int64_t shards) {
        std::vector<Variable> images;
        std::vector<Tensor> labels;
        for (size_t i = 0; i < images_.size(); ++i) {
            const int64_t each = images_[i].size(0) / shards;
            images.emplace_back(images_[i].slice(0, shard * each, (shard + 1) * each));
            labels.push_back(labels_[i].slice(0, shard * each, (shard + 1) * each));
        }
        const std::vector<ViTOutput> outs =
            images.size() == 1
                ? std::vector<ViTOutput>{network_.backbone.forward_features(images[0], context_)}
                : network_.backbone.forward_features(images, context_);
        Variable loss;
        for (size_t i = 0; i < outs.size(); ++i) {
            const Variable part = cross_entropy(network_.head.forward(outs[i].x_norm_clstoken), labels[i]);
            loss = i == 0 ? part : loss + part;
        }
        const double value = loss.item();
        const ProfileScope backward("backward");
        loss.backward();
        return value;
    }

    Generator generator_{7};
    Network network_;
    std::unique_ptr<DataParallel> parallel_;
    std::unique_ptr<Optimizer> optimizer_;
    GradScaler scaler_{{.enabled = false}};
    ForwardContext context_;
    std::vector<Tensor> images_, labels_;
};

int64_t peak_rss_kb() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
    return 0;
}

std::string steps(Trainer& trainer, int count) {
    double loss = 0;
    std::ostringstream text;
    text << "{\"ms\": [";
    for (int i = 0; i < count; ++i) {
        const auto start = std::chrono::steady_clock::now();
        loss = trainer.step();
        const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
        text << (i == 0 ? "" : ", ") << taken.count();
    }
    text.precision(8);
    text << "], \"loss\": " << loss << "}";
    return text.str();
}

std::string comm_share(Trainer& trainer, int count, const Communicator& world) {
    start_profile();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) trainer.step();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    double spent = 0;
    for (const ProfileSpan& span : stop_profile().spans)
        if (span.name == "comm") spent += static_cast<double>(span.duration_ns);
    const std::vector<double> all =
        world.all_gather(Tensor::from(std::vector<double>{spent / taken.count()}, {1})).to_vector<double>();
    return "{\"share\": " + std::to_string(*std::max_element(all.begin(), all.end())) + "}";
}

std::string answer(Trainer& trainer, const std::string& line, const Communicator& world) {
    std::istringstream words(line);
    std::string command, file;
    int count = 1;
    words >> command;
    if (command == "profile") words >> file;
    words >> count;
    if (command == "steps") return steps(trainer, count);
    if (command == "comm") return comm_share(trainer, count, world);
    if (command == "memory") {
        const AllocatorStats stats = allocator_stats();
        std::ostringstream text;
        text << "{\"peak_rss_kb\": " << peak_rss_kb()
             << ", \"system_allocations\": " << stats.system_allocations
             << ", \"live_peak_bytes\": " << stats.peak_bytes << "}";
        return text.str();
    }
    if (command != "profile") return "{\"error\": \"unknown command\"}";
    start_profile();
    for (int i = 0; i < count; ++i) trainer.step();
    const Profile profile = stop_profile();
    profile.write_trace(file);
    std::cerr << profile.table();
    return "{}";
}

void peaks() {
    for (std::string line; std::getline(std::cin, line);) {
        const double flops = measured_flops();
        std::printf("{\"flops\": %.6g, \"bandwidth\": %.6g}\n", flops, measured_bandwidth());
        std::fflush(stdout);
    }
}

int run(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "peaks") return peaks(), 0;
    if (argc < 5) {
        const Variable x(Tensor::full({8}, 1), true);
        return (x + x).value().numel() == 8 ? 0 : 1;
    }
    const Job job;
    const bool sharded = argc > 7;
    ParallelOptions parts;
    if (sharded) parts = {.shards = std::stoll(argv[7]), .sharding = parse_sharding(argv[6])};
    Trainer trainer(setup_of(argv[1], std::stoll(argv[2])), parse_boundary_mode(argv[3]), argv[4],
                    argc > 5 ? argv[5] : "", sharded ? &job.world() : nullptr, parts);
    for (std::string line;;) {
        if (job.world().rank() == 0 && !std::getline(std::cin, line)) line = "end";
        line = job.world().all_gather_text(line)[0];
        if (line == "end") return 0;
        const std::string text = answer(trainer, line, job.world());
        if (job.world().rank() == 0) std::cout << text << std::endl;
    }
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    try {
        return demi::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
