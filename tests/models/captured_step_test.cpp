// A captured step against the same step taken as it is: every replay, bit for bit.
#include "runtime/captured_step.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/grad_scaler.h"
#include "models/optimizer.h"
#include "models/vision_transformer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dropout/dropout.h"
#include "ops/elementwise/functions.h"
#include "ops/index/index_select.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/operators.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/reduce/reduce.h"
#include "runtime/allocator.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {
namespace {

#define DEMI_NEEDS_GPU \
    if (test_device().is_cpu()) DEMI_SKIP("on the CPU nothing is captured")

struct Setting {
    Precision precision = Precision::f32;
    double drop_path = 0.3;  // above 0.1 rows are left out, below drop_path() does it
    OptimizerKind kind = OptimizerKind::adamw;
    bool overflow = false;  // a loss scale that is too large for the first steps
    bool by_hand = true;    // factors and update() instead of scaler.step()
};

// A small transformer behind dropout, with everything that differs from step to step.
class Trainer {
  public:
    explicit Trainer(const Setting& setting)
        : by_hand_(setting.by_hand), model_(config(setting), generator_) {
        to_device(model_, test_device());
        parameters_ = parameters_of(model_);
        OptimizerOptions options;
        options.kind = setting.kind;
        optimizer_.emplace(parameters_, parameter_options(parameters_, {.layer_decay = 0.7, .depth = 2}),
                           options);
        GradScalerOptions scaler;
        scaler.init_scale = setting.overflow ? 0x1p127 : 1024;
        scaler.cap = 0x1p127;
        scaler.growth_interval = 2;
        scaler.backoff_factor = 0x1p-100;
        scaler_.emplace(scaler);
        context_.training = true;
        context_.precision = setting.precision;
        context_.boundary.mode = BoundaryMode::wide;
        context_.generator = &generator_;
    }

    void body() {
        const Variable x = dropout(Variable(images_), 0.25, generator_, true);
        loss_ = cross_entropy(model_.forward(x, context_), labels_, {.label_smoothing = 0.1});
        scaler_->backward(loss_);
        const std::vector<size_t> groups{3, parameters_.size() - 3};
        if (by_hand_) {
            rates_.factors = gradient_factors(parameters_, groups, scaler_->live_inverse(), 0.5);
            optimizer_->step(rates_);
        } else {
            scaler_->step(*optimizer_, {.lr = rates_.lr,
                                        .weight_decay = rates_.weight_decay,
                                        .clip_grad = 0.5,
                                        .clip_groups = groups});
        }
        optimizer_->zero_grad();
    }
    // What comes before and after the body in each step.
    void before(int step) {
        copy(images_, drawn({4, 3, 16, 16}, 100 + static_cast<uint64_t>(step)).to(test_device()));
        copy(labels_, Tensor::from(std::vector<int64_t>{step, 5, 0, 31}, {4}).to(test_device()));
        rates_.lr = 1e-2 / (step + 1);
        rates_.weight_decay = 0.04 * step;
        optimizer_->set_rates(rates_);
    }
    void after() {
        losses.push_back(loss_.item());
        if (!by_hand_) return void(skipped += !scaler_->settle());
        const bool finite = optimizer_->outcome().taken;
        skipped += !finite;
        if (!finite) optimizer_->take_back();
        scaler_->update(!finite);
    }

    NamedTensors state() const {
        NamedTensors all;
        Metadata metadata;
        for (const auto& [name, p] : parameters_) all.emplace_back(name, p.value());
        optimizer_->save(all, metadata);
        return all;
    }
    int64_t steps() const { return optimizer_->steps(); }
    const Generator& generator() const { return generator_; }

    std::vector<double> losses;
    int skipped = 0;

  private:
    static ViTConfig config(const Setting& setting) {
        ViTConfig c = tiny_vit(16, 32, 2);
        c.init_values = 0.5;
        c.drop_path_rate = setting.drop_path;
        c.drop_path_uniform = true;
        return c;
    }

    bool by_hand_;
    Generator generator_{5};
    DinoVisionTransformer model_;
    NamedParameters parameters_;
    std::optional<Optimizer> optimizer_;
    std::optional<GradScaler> scaler_;
    ForwardContext context_;
    StepRates rates_;
    Tensor images_ = Tensor::empty({4, 3, 16, 16}, DType::f32, test_device());
    Tensor labels_ = Tensor::empty({4}, DType::i64, test_device());
    Variable loss_;
};

void check_replays(const Setting& setting, int steps) {
    Setting by_hand = setting;
    by_hand.by_hand = true;
    Trainer plain(by_hand), captured(setting);
    CapturedStep step(
        test_device(), [&] { captured.body(); }, 1);
    for (int i = 0; i < steps; ++i) {
        plain.before(i);
        plain.body();
        plain.after();
        captured.before(i);
        step();
        captured.after();
    }
    CHECK(step.replays() == steps - 1);
    CHECK(step.memory_bytes() > 0);
    CHECK(captured.losses == plain.losses);
    CHECK(captured.losses.front() != captured.losses.back());
    CHECK(captured.steps() == plain.steps());
    CHECK(captured.skipped == plain.skipped);
    CHECK((captured.skipped > 0) == setting.overflow);
    CHECK(captured.generator() == plain.generator());
    const NamedTensors want = plain.state(), got = captured.state();
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) {
        CAPTURE(want[i].first);
        CHECK(same_bits(got[i].second, want[i].second) == "");
    }
}

}  // namespace

TEST_CASE("captured step: replays are steps, with stochastic depth by rows") {
    DEMI_NEEDS_GPU;
    check_replays({}, 5);
}

TEST_CASE("captured step: in f16, with drop_path and steps that overflow") {
    DEMI_NEEDS_GPU;
    check_replays({.precision = Precision::f16, .drop_path = 0.05, .overflow = true}, 5);
}

TEST_CASE("captured step: the scaler's step, which looks back at the next replay") {
    DEMI_NEEDS_GPU;
    check_replays({.precision = Precision::f16, .drop_path = 0.05, .overflow = true, .by_hand = false}, 5);
    check_replays({.kind = OptimizerKind::sgd, .by_hand = false}, 4);
}

TEST_CASE("captured step: SGD") {
    DEMI_NEEDS_GPU;
    check_replays({.kind = OptimizerKind::sgd}, 4);
}

TEST_CASE("captured step: attention's dropout and several segments draw anew") {
    DEMI_NEEDS_GPU;
    const Device device = test_device();
    Generator one{9}, two{9};
    const Tensor q = drawn({1, 20, 2, 16}, 1).to(DType::f16).to(device);
    const AttentionBias mask = BlockDiagonalMask::from_seqlens({7, 13});
    Tensor got;
    const auto run = [&](Generator& g) {
        AttentionOptions options;
        options.dropout = 0.3;
        options.generator = &g;
        return memory_efficient_attention(q, q, q, mask, options).value();
    };
    CapturedStep step(
        device, [&] { got = run(one); }, 1);
    Tensor before;
    for (int i = 0; i < 4; ++i) {
        step();
        const Tensor want = run(two);
        CHECK(same_bits(got, want) == "");
        if (before.defined()) CHECK(same_bits(want, before) != "");
        before = want;
    }
}

TEST_CASE("captured step: results stay, and memory goes back when the step does") {
    DEMI_NEEDS_GPU;
    const Device device = test_device();
    const Tensor x = drawn({64, 33}, 1).to(device);
    const AllocatorStats before = allocator_stats(device);
    {
        Variable y;
        {
            CapturedStep step(
                device, [&] { y = exp(Variable(x)) * Variable(x) + Variable(x); }, 1);
            for (int i = 0; i < 3; ++i) step();
        }
        CHECK(same_bits(y.value(), (exp(Variable(x)) * Variable(x) + Variable(x)).value()) == "");
    }
    empty_cache(device);
    const AllocatorStats after = allocator_stats(device);
    CHECK(after.live_bytes == before.live_bytes);
    CHECK(after.live_blocks == before.live_blocks);
    CHECK(after.reserved_bytes <= before.reserved_bytes);
}

TEST_CASE("captured step: what cannot be captured is refused by name, and the step can go on") {
    DEMI_NEEDS_GPU;
    const Device device = test_device();
    const Tensor x = Tensor::full({4}, 2, DType::f32, device);
    const Tensor logits = Tensor::zeros({2, 3}, DType::f32, device);
    const auto refused = [&](std::function<void()> bad) {
        bool now = false;
        Tensor y;
        CapturedStep step(
            device,
            [&] {
                y = exp(Variable(x)).value();
                if (now) bad();
            },
            1);
        step();
        now = true;
        const std::string error = error_of(step);
        now = false;
        step();  // records again, without what was refused
        step();
        CHECK(y.to_vector<float>()[0] == doctest::Approx(std::exp(2)));
        return error;
    };
    const std::string gpu = name(device);
    CHECK(refused([&] { sum(Variable(x)).item(); }) ==
          "[captured step] a captured step cannot read values back from " + gpu);
    CHECK(
        has(refused([&] { Tensor::zeros({3}).to(device); }), "a captured step cannot send values to " + gpu));
    CHECK(has(refused([&] { synchronize(device); }), "a captured step cannot wait for " + gpu));
    CHECK(has(refused([&] {
                  const std::vector<Tensor> all{x};
                  grad_norm(all);
              }),
              "[grad_norm] a captured step cannot read values back"));
    CHECK(has(refused([&] {
                  const Tensor fresh = Tensor::arange(2, DType::i64, Device::cpu());
                  index_select(Variable(logits), 0, fresh);
              }),
              "[index_select] a captured step cannot send values"));
    CHECK(has(refused([&] {
                  CrossEntropyOptions options;
                  options.ignore_index = 1;
                  cross_entropy(Variable(logits), Tensor::zeros({2}, DType::i64, device), options);
              }),
              "[cross_entropy] a captured step cannot count the labels"));
}

TEST_CASE("captured step: on the CPU the body runs every time") {
    int runs = 0;
    CapturedStep step(Device::cpu(), [&] { ++runs; });
    for (int i = 0; i < 5; ++i) step();
    CHECK(runs == 5);
    CHECK(step.replays() == 0);
    CHECK_THROWS_WITH_AS(CapturedStep(Device::cpu(), nullptr), "[captured step] needs a body", Error);
}

}  // namespace demi::test
