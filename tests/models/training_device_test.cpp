// A few training steps on the device of the tests against the CPU: supervised and
// self-supervised, in every precision.
#include <doctest/doctest.h>

#include "models/mask_generator.h"
#include "models/optimizer.h"
#include "models/ssl_meta_arch.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/operators.h"
#include "runtime/copy.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {
namespace {

ViTConfig tiny() { return tiny_vit_with_all(16, 32, 2); }

struct Run {
    std::vector<double> losses;
    std::vector<Tensor> parameters;
};

// Trains on what loss(step number, context) gives.
template <class Loss>
Run run_of(const NamedParameters& parameters, Precision precision, int steps, Generator& g,
           const Loss& loss_of) {
    Optimizer optimizer(parameters, parameter_options(parameters, {}));
    ForwardContext context;
    context.training = true;
    context.precision = precision;
    context.generator = &g;
    Run run;
    for (int i = 0; i < steps; ++i) {
        const Variable loss = loss_of(static_cast<uint64_t>(i), context);
        run.losses.push_back(loss.item());
        loss.backward();
        const GradNorm norm = gradient_norm(parameters, 1, 3.0);
        CHECK(norm.finite);
        StepRates rates;
        rates.lr = 1e-3;
        rates.weight_decay = 0.04;
        rates.grad_multipliers.assign(parameters.size(), norm.clip_factor);
        optimizer.step(rates);
        optimizer.zero_grad();
    }
    for (const auto& [name, p] : parameters) run.parameters.push_back(p.value());
    return run;
}

Run supervised(Device device, Precision precision, int steps) {
    Generator g{3};
    DinoVisionTransformer model(tiny(), g);
    to_device(model, device);
    return run_of(parameters_of(model), precision, steps, g, [&](uint64_t i, const ForwardContext& context) {
        const Tensor images = drawn({4, 3, 16, 16}, 10 + i).to(device);
        const Tensor labels = Tensor::from(std::vector<int64_t>{1, 5, 0, 31}, {4}).to(device);
        return cross_entropy(model.forward(Variable(images), context), labels, {});
    });
}

Run self_supervised(Device device, Precision precision, int steps) {
    Generator g{4};
    SslConfig config;
    config.backbone = tiny();
    config.head.in_dim = 32;
    config.head.hidden_dim = 16;
    config.head.bottleneck_dim = 8;
    config.head.out_dim = 24;
    SSLMetaArch model(config, g);
    model.to_device(device);
    const auto loss_of = [&](uint64_t i, const ForwardContext& context) {
        if (i > 0) model.commit(0.9);
        SslBatch batch;
        batch.global_crops = drawn({4, 3, 16, 16}, 20 + i).to(device);
        batch.local_crops = drawn({4, 3, 8, 8}, 30 + i).to(device);
        Tensor masks = Tensor::zeros({4, 16}, DType::boolean);
        fill(masks.slice(1, 3, 7), 1);
        batch.masks = masks.to(device);
        return model.losses(batch, 0.07, context).total;
    };
    return run_of(model.student_parameters(), precision, steps, g, loss_of);
}

template <class F> void check_runs(F train) {
    if (test_device().is_cpu()) DEMI_SKIP("compares a GPU with the CPU");
    const int steps = emulated() ? 2 : 3;
    for (Precision precision : {Precision::f16, Precision::f32, Precision::bf16}) {
        if (emulated() && quick() && precision != Precision::f16) continue;
        CAPTURE(std::string(name(precision)));
        const Run want = train(Device::cpu(), precision, steps), got = train(test_device(), precision, steps);
        const double room = precision == Precision::f32 ? 1e-4 : precision == Precision::f16 ? 5e-3 : 3e-2;
        for (size_t i = 0; i < want.losses.size(); ++i)
            CHECK(got.losses[i] == doctest::Approx(want.losses[i]).epsilon(room));
        // Steps of AdamW are as large as its rate, whatever the gradient: a gradient
        // near 0 may differ in sign.
        for (size_t i = 0; i < want.parameters.size(); ++i) {
            CAPTURE(i);
            CHECK(got.parameters[i].device() == test_device());
            CHECK(compare(got.parameters[i], want.parameters[i], {6.1e-3, 1e-3}) == "");
        }
        const Run again = train(test_device(), precision, steps);
        for (size_t i = 0; i < got.parameters.size(); ++i)
            CHECK(same_bits(again.parameters[i], got.parameters[i]) == "");
    }
}

}  // namespace

TEST_CASE("training on the device: supervised") { check_runs(supervised); }

TEST_CASE("training on the device: self-supervised") { check_runs(self_supervised); }

}  // namespace demi::test
