#include "models/data_parallel.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/vision_transformer.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/allocator.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/tiny_vit.h"

namespace demi {
namespace {

using test::error_of, test::has, test::tiny_vit;

ViTConfig small() {
    ViTConfig config = tiny_vit(8, 16, 3);
    config.in_chans = 1, config.mlp_ratio = 2;
    return config;
}

Tensor images() {
    Generator generator{5};
    return randn({8, 1, 8, 8}, generator);
}

Variable loss_of(const DinoVisionTransformer& model, const Tensor& pictures, UnitScope* units) {
    ForwardContext context;
    context.training = true;
    context.units = units;
    const Variable y = model.forward(Variable(pictures), context);
    return mean(y * y * y + y);
}

struct Result {
    std::vector<std::vector<float>> values;
    double norm = 0;
};

// Two steps on the whole batch, by hand.
Result plain(OptimizerKind kind) {
    Generator generator{1};
    DinoVisionTransformer model(small(), generator);
    const NamedParameters all = parameters_of(model);
    Optimizer optimizer(all, std::vector<ParameterOptions>(all.size()), {.kind = kind});
    GradScaler scaler({.enabled = false});
    Result result;
    for (int step = 0; step < 2; ++step) {
        scaler.backward(loss_of(model, images(), nullptr));
        scaler.step(optimizer, {.lr = 1e-2, .weight_decay = 0.1, .clip_grad = 0.5});
        result.norm = optimizer.outcome().norm;
        optimizer.zero_grad();
    }
    for (const auto& [name, p] : all) result.values.push_back(p.value().to_vector<float>());
    return result;
}

// The same in shards.
Result sharded(OptimizerKind kind, Sharding sharding, int64_t shards, bool scaled = false) {
    Generator generator{1};
    DinoVisionTransformer model(small(), generator);
    DataParallel parallel(Communicator(), {shards, sharding}, model);
    Optimizer optimizer(parallel.parameters(), std::vector<ParameterOptions>(parallel.parameters().size()),
                        {.kind = kind});
    GradScaler scaler({.enabled = scaled});
    Result result;
    const int64_t each = 8 / shards;
    for (int step = 0; step < 2; ++step) {
        for (int64_t shard : parallel.own_shards()) {
            parallel.begin_shard();
            scaler.backward(loss_of(model, images().slice(0, shard * each, (shard + 1) * each), &parallel));
            parallel.end_shard();
        }
        result.norm =
            parallel.step(optimizer, scaler, {.lr = 1e-2, .weight_decay = 0.1, .clip_grad = 0.5}).norm;
    }
    for (const FlatModel::Entry& e : parallel.model().entries())
        result.values.push_back(parallel.model().collect(e).to_vector<float>());
    return result;
}

}  // namespace

TEST_CASE("data_parallel: shards give the step of the whole batch") {
    for (OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        const Result expected = plain(kind);
        for (int64_t shards : {1, 2, 4, 8}) {
            const Result got = sharded(kind, Sharding::none, shards);
            CHECK(got.norm == doctest::Approx(expected.norm).epsilon(1e-4));
            REQUIRE(got.values.size() == expected.values.size());
            double worst = 0;
            for (size_t i = 0; i < got.values.size(); ++i)
                for (size_t k = 0; k < got.values[i].size(); ++k)
                    worst =
                        std::max(worst, std::abs(double{got.values[i][k]} - double{expected.values[i][k]}));
            // Adam divides by a gradient's size: where that is rounding only, the step may be any.
            CHECK(worst < (kind == OptimizerKind::sgd ? 1e-5 : 2e-2));
        }
    }
}

TEST_CASE("data_parallel: what is shared out changes no bit") {
    for (OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw})
        for (bool scaled : {false, true}) {
            const Result expected = sharded(kind, Sharding::none, 4, scaled);
            for (Sharding sharding : {Sharding::grad_op, Sharding::full})
                CHECK(sharded(kind, sharding, 4, scaled).values == expected.values);
        }
}

TEST_CASE("data_parallel: a parameter without a gradient is left alone") {
    Generator generator{1};
    DinoVisionTransformer model(small(), generator);
    for (auto& [name, p] : parameters_of(model))
        if (name == "mask_token") fill(p.value(), 3);
    DataParallel parallel(Communicator(), {2, Sharding::full}, model);
    Optimizer optimizer(parallel.parameters(), std::vector<ParameterOptions>(parallel.parameters().size()));
    GradScaler scaler({.enabled = false});
    for (int i = 0; i < 2; ++i) {
        parallel.begin_shard();
        scaler.backward(loss_of(model, images(), &parallel));
        parallel.end_shard();
    }
    parallel.step(optimizer, scaler, {.lr = 0.1, .weight_decay = 0.5});
    for (const FlatModel::Entry& e : parallel.model().entries())
        if (e.name == "mask_token")
            CHECK(parallel.model().collect(e).to_vector<float>() == std::vector<float>(16, 3));
}

TEST_CASE("data_parallel: infinity in one shard skips the step and halves the scale") {
    Generator generator{1};
    DinoVisionTransformer model(small(), generator);
    DataParallel parallel(Communicator(), {4, Sharding::grad_op}, model);
    Optimizer optimizer(parallel.parameters(), std::vector<ParameterOptions>(parallel.parameters().size()));
    GradScaler scaler;
    const std::vector<float> before =
        parallel.model().collect(parallel.model().entries()[0]).to_vector<float>();
    for (int i = 0; i < 4; ++i) {
        parallel.begin_shard();
        const Variable loss = loss_of(model, images(), &parallel);
        scaler.backward(i == 2 ? loss * std::numeric_limits<double>::infinity() : loss);
        parallel.end_shard();
    }
    CHECK_FALSE(parallel.step(optimizer, scaler, {.lr = 0.1}).taken);
    CHECK(scaler.scale() == 32768);
    CHECK(optimizer.steps() == 0);
    CHECK(parallel.model().collect(parallel.model().entries()[0]).to_vector<float>() == before);
}

TEST_CASE("data_parallel: full holds no block between passes, and at most two in one") {
    Generator generator{1};
    ViTConfig config = small();
    config.embed_dim = 128, config.depth = 8;
    DinoVisionTransformer model(config, generator);
    const int64_t bytes = 4 * parameter_count(parameters_of(model));
    const int64_t before = allocator_stats().live_bytes;
    DataParallel parallel(Communicator(), {1, Sharding::full}, model);
    CHECK(allocator_stats().live_bytes <= before + bytes / 20);  // one rank: its pieces are the model
    GradScaler scaler({.enabled = false});
    parallel.begin_shard();
    reset_peak();
    const int64_t start = allocator_stats().live_bytes;
    scaler.backward(loss_of(model, images().slice(0, 0, 1), &parallel));
    // Two blocks (parameters and their gradient), the gradients' pieces, few activations.
    CHECK(allocator_stats().peak_bytes - start < bytes + 3 * bytes / 8 + bytes / 10);
    parallel.end_shard();
}

TEST_CASE("data_parallel: wrong use is said") {
    Generator generator{1};
    Linear layer(3, 2, true, generator);
    CHECK(has(error_of([&] {
                  DataParallel(Communicator(), {0, Sharding::none}, layer);
              }),
              "multiple of the 1 ranks"));
    DataParallel parallel(Communicator(), {2, Sharding::none}, layer);
    Optimizer optimizer(parallel.parameters(), std::vector<ParameterOptions>(2));
    GradScaler scaler({.enabled = false});
    CHECK(
        has(error_of([&] { parallel.step(optimizer, scaler, {.lr = 1}); }), "2 shards of this rank: got 0"));
    CHECK(has(error_of([&] { parallel.update_average(0.9); }), "there is no average"));
    CHECK(has(error_of([&] { parse_sharding("half"); }), "none, grad_op or full: got 'half'"));
    CHECK(has(error_of([&] {
                  parallel.over_shards(Tensor::zeros({3, 1}, DType::f64));
              }),
              "each of the 2 shards"));
}

}  // namespace demi
