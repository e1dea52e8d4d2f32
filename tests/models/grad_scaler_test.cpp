#include "models/grad_scaler.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/recompute.h"
#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

// Two parameters, a loss of them, and their optimizer.
struct Training {
    Variable a = drawn({5, 3}, 1), b = drawn({7}, 2);
    NamedParameters parameters{{"a", a}, {"b", b}};
    Optimizer optimizer{parameters, parameter_options(parameters, {})};
    GradScaler scaler{{.init_scale = 1024}};

    static Variable drawn(const Shape& shape, uint64_t seed) {
        Generator g{seed};
        return Variable(normal_parameter(shape, g, 1).value().to(test_device()), true);
    }
    Variable loss(double factor = 1) const { return (sum(square(a)) + sum(b * 3.0)) * factor; }
    std::vector<Tensor> values() const { return {a.value().clone(), b.value().clone()}; }
};

void check_same(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
    for (size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i], want[i]) == "");
}

}  // namespace

TEST_CASE("scaler.step() is the step that the gradients without a scale would take") {
    for (double clip : {0.0, 0.5, 1e9})
        for (int grouped = 0; grouped < 2; ++grouped) {
            Training scaled, plain;
            StepRates rates{.lr = 0.1, .weight_decay = 0.01, .clip_grad = clip};
            if (grouped) rates.clip_groups = {1, 1};
            for (int step = 0; step < 4; ++step) {
                scaled.scaler.backward(scaled.loss());
                CHECK(scaled.a.grad_scale() == 1024);
                CHECK(scaled.scaler.step(scaled.optimizer, rates));
                scaled.optimizer.zero_grad();
                CHECK(scaled.a.grad_scale() == 1);
                plain.loss().backward();
                double squares = 0;
                for (const Variable& p : {plain.a, plain.b})
                    for (double g : p.grad().to_vector<double>()) squares += g * g;
                plain.optimizer.step(rates);
                plain.optimizer.zero_grad();
                CHECK(scaled.optimizer.outcome().norm == doctest::Approx(std::sqrt(squares)).epsilon(1e-12));
            }
            check_same(scaled.values(), plain.values());
            CHECK(scaled.optimizer.steps() == 4);
        }
}

TEST_CASE("a step with gradients that are still scaled is refused") {
    Training t;
    const std::vector<Tensor> before = t.values();
    t.scaler.backward(t.loss());
    const std::string error = error_of([&] { t.optimizer.step({.lr = 0.1}); });
    CHECK(has(error, "[optimizer] the gradient of 'a' is still times the loss scale 1024"));
    CHECK(has(error, "scaler.step(optimizer, rates)"));
    CHECK(has(error_of([&] { t.optimizer.step({.lr = 0.1, .clip_grad = 1}); }), "loss scale 1024"));
    check_same(t.values(), before);
    CHECK(t.optimizer.steps() == 0);
    // What clips or unscales by hand still may.
    t.optimizer.step({.lr = 0.1, .grad_multipliers = {1.0 / 1024, 1.0 / 1024}});
    t.optimizer.step({.lr = 0.1, .factors = gradient_factors(t.parameters, {}, t.scaler.live_inverse(), 0)});
    // Gradients that were never scaled are not unscaled.
    Training plain, stepped;
    plain.loss().backward();
    plain.optimizer.step({.lr = 0.1});
    stepped.loss().backward();
    CHECK(stepped.scaler.step(stepped.optimizer, {.lr = 0.1}));
    check_same(stepped.values(), plain.values());
}

TEST_CASE("a step that overflows is skipped, halves the scale, and the next one goes on") {
    Training t, want;
    const std::vector<Tensor> before = t.values();
    t.scaler.backward(t.loss(1e38));
    CHECK_FALSE(t.scaler.step(t.optimizer, {.lr = 0.1, .clip_grad = 1}));
    CHECK_FALSE(t.scaler.settle());
    CHECK_FALSE(t.optimizer.outcome().taken);
    CHECK(t.scaler.scale() == 512);
    CHECK(t.scaler.skipped() == 1);
    CHECK(t.optimizer.steps() == 0);
    check_same(t.values(), before);
    CHECK(has(error_of([&] { t.scaler.backward(t.loss()); }), "cannot be added to one times 1024"));
    t.optimizer.zero_grad();
    t.scaler.backward(t.loss());
    CHECK(t.scaler.step(t.optimizer, {.lr = 0.1}));
    CHECK(t.scaler.settle());
    want.loss().backward();
    want.optimizer.step({.lr = 0.1});
    check_same(t.values(), want.values());
}

TEST_CASE("gradients add up under one scale only") {
    Training t, want;
    t.scaler.backward(t.loss());
    t.scaler.backward(t.loss());
    want.loss().backward();
    want.loss().backward();
    CHECK(has(error_of([&] { t.loss().backward(); }),
              "[backward] a gradient times 1 cannot be added to one times 1024"));
    CHECK(has(error_of([&] { GradScaler().backward(want.loss()); }), "times 65536"));
    t.scaler.step(t.optimizer, {.lr = 0.1});
    want.optimizer.step({.lr = 0.1});
    check_same(t.values(), want.values());
    t.optimizer.zero_grad();
    t.scaler.backward(sum(t.a));
    sum(t.b).backward();
    CHECK(has(error_of([&] { t.scaler.step(t.optimizer, {.lr = 0.1}); }),
              "[grad_scaler] needs gradients of one scale"));
}

TEST_CASE("a parameter used inside and outside recompute has one scale") {
    Training t, want;
    const auto loss = [](Training& x) {
        return sum(recompute([&](const std::vector<Variable>& in) { return square(in[0] * x.b); },
                             {x.b * 2.0})) +
               sum(x.b * 3.0);
    };
    t.scaler.backward(loss(t));
    CHECK(t.b.grad_scale() == 1024);
    loss(want).backward();
    t.scaler.step(t.optimizer, {.lr = 0.1});
    want.optimizer.step({.lr = 0.1});
    check_same(t.values(), want.values());
}

TEST_CASE("what a scaler is not given is refused") {
    Training t;
    CHECK(has(error_of([&] { t.scaler.backward({}); }), "[grad_scaler] needs a loss with one element"));
    CHECK(
        has(error_of([&] { t.scaler.backward(t.a * 2.0); }), "[grad_scaler] needs a loss with one element"));
    CHECK(has(error_of([&] { t.scaler.step(t.optimizer, {.lr = 0.1}); }), "no parameter has a gradient"));
    t.scaler.backward(t.loss());
    CHECK(has(error_of([&] { t.scaler.step(t.optimizer, {}); }), "StepRates::lr has to be given"));
    CHECK(has(error_of([&] {
                  t.scaler.step(t.optimizer, {.lr = 0.1, .grad_multipliers = {1, 1}});
              }),
              "[grad_scaler] unscales itself"));
    CHECK(t.scaler.scale() == 1024);
    CHECK(t.optimizer.steps() == 0);
    for (const GradScalerOptions& bad :
         {GradScalerOptions{.init_scale = 0}, GradScalerOptions{.init_scale = NAN},
          GradScalerOptions{.growth_factor = 0.5}, GradScalerOptions{.backoff_factor = 1},
          GradScalerOptions{.growth_interval = 0}, GradScalerOptions{.floor = 1e-60},
          GradScalerOptions{.cap = INFINITY}, GradScalerOptions{.floor = 4, .cap = 2}})
        CHECK(has(error_of([&] { GradScaler scaler(bad); }), "[grad_scaler] needs init_scale > 0"));
}

TEST_CASE("grad_scaler follows PyTorch's rules on a random sequence of overflows") {
    GradScalerOptions options;
    options.growth_interval = 7;
    GradScaler scaler(options);
    Generator g{11};
    float scale = 65536;
    int64_t good = 0;
    for (int step = 0; step < 10000; ++step) {
        const bool overflow = g.next_uniform() < 0.12f;
        CHECK(scaler.update(overflow) == overflow);
        if (overflow) {
            scale = std::max(scale * 0.5f, 1.0f);
            good = 0;
        } else if (++good == 7) {
            scale = std::min(scale * 2, 16777216.0f);
            good = 0;
        }
        REQUIRE(scaler.scale() == double(scale));
    }
}

TEST_CASE("grad_scaler stays between floor and cap and counts skips") {
    GradScaler scaler;
    for (int i = 0; i < 40; ++i) scaler.update(true);
    CHECK(scaler.scale() == 1);
    CHECK(scaler.skipped_in_a_row() == 40);
    scaler.update(false);
    CHECK(scaler.skipped_in_a_row() == 0);
    CHECK(scaler.skipped() == 40);
    GradScalerOptions fast;
    fast.growth_interval = 1;
    GradScaler growing(fast);
    for (int i = 0; i < 40; ++i) growing.update(false);
    CHECK(growing.scale() == 16777216);
}

TEST_CASE("grad_scaler multiplies the gradients, and its state survives saving") {
    Variable x(Tensor::full({3}, 2), true);
    GradScaler scaler;
    scaler.backward(sum(x * 3.0));
    CHECK(x.grad().to_vector<float>() == std::vector<float>(3, 3 * 65536.0f));
    scaler.update(true);
    scaler.update(false);
    GradScaler other;
    other.load(scaler.state());
    CHECK(other.scale() == scaler.scale());
    CHECK(other.state() == scaler.state());
    CHECK_THROWS_WITH_AS(other.load({}), "[checkpoint] metadata has no 'scaler.scale'", Error);
    GradScalerOptions off;
    off.enabled = false;
    CHECK(GradScaler(off).scale() == 1);
}

}  // namespace demi::test
