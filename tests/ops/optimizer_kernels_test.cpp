// The kernels over many tensors on the device against the CPU's: optimizers, averages, gradient norms; and
// draws, which must be the CPU's bit for bit.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/dropout/drop_path.h"
#include "ops/dropout/dropout.h"
#include "ops/optimizer/adamw.h"
#include "ops/optimizer/ema.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/optimizer/sgd.h"
#include "runtime/copy.h"
#include "tests/ops/normal_tensors.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/skip.h"

namespace demi::test {
namespace {

const std::vector<Shape> kShapes{{1}, {3, 5}, {7}, {16385}, {64, 64}, {0}};

std::vector<Tensor> draw(DType dtype, uint64_t seed) { return normal_tensors(kShapes, dtype, seed); }

std::vector<Tensor> on(Device device, const std::vector<Tensor>& tensors) {
    std::vector<Tensor> out;
    for (const Tensor& t : tensors) out.push_back(t.to(device).clone());
    return out;
}

void check_all(const std::vector<Tensor>& got, const std::vector<Tensor>& want, Tolerance tolerance) {
    for (size_t i = 0; i < want.size(); ++i) {
        CAPTURE(i);
        CHECK(compare(got[i], want[i], tolerance) == "");
    }
}

struct Types {
    DType param, grad;
};
const std::vector<Types> kTypes{{DType::f32, DType::f32},   {DType::f32, DType::f16},
                                {DType::f16, DType::f16},   {DType::f32, DType::bf16},
                                {DType::bf16, DType::bf16}, {DType::f64, DType::f64}};

DType state_type(DType param) { return param == DType::f64 ? DType::f64 : DType::f32; }

std::vector<Tensor> zeros(DType dtype, Device device) {
    std::vector<Tensor> out;
    for (const Shape& shape : kShapes) out.push_back(Tensor::zeros(shape, dtype, device));
    return out;
}

#define DEMI_NEEDS_GPU \
    if (test_device().is_cpu()) DEMI_SKIP("compares a GPU with the CPU")

}  // namespace

TEST_CASE("adamw on the device") {
    DEMI_NEEDS_GPU;
    for (const Types& types : kTypes) {
        INFO(name(types.param), " with gradients in ", name(types.grad));
        const std::vector<Tensor> start = draw(types.param, 1);
        std::vector<std::vector<Tensor>> results[2];
        for (Device device : {Device::cpu(), test_device()}) {
            const std::vector<Tensor> params = on(device, start), m = zeros(state_type(types.param), device),
                                      v = zeros(state_type(types.param), device);
            for (int64_t step = 1; step <= 3; ++step) {
                const std::vector<Tensor> grads =
                    on(device, draw(types.grad, 10 + static_cast<uint64_t>(step)));
                std::vector<AdamwTensor> tensors;
                for (size_t i = 0; i < params.size(); ++i)
                    tensors.push_back({params[i], i == 3 && step == 2 ? Tensor() : grads[i], m[i], v[i],
                                       1e-2 / static_cast<double>(1 + i / 2),
                                       0.1 * static_cast<double>(i % 3), step});
                adamw(tensors, {.grad_scale = 0.5});
            }
            results[device.is_cpu() ? 0 : 1] = {params, m, v};
        }
        check_all(results[1][0], results[0][0], rounding_of(types.param, 2));
        for (size_t k = 1; k < 3; ++k)
            check_all(results[1][k], results[0][k], rounding_of(state_type(types.param)));
    }
}

TEST_CASE("adamw with more sets of numbers than a launch takes") {
    DEMI_NEEDS_GPU;
    std::vector<Tensor> params[2];
    for (Device device : {Device::cpu(), test_device()}) {
        std::vector<Tensor>& own = params[device.is_cpu() ? 0 : 1];
        std::vector<AdamwTensor> tensors;
        for (int i = 0; i < 250; ++i) {
            own.push_back(Tensor::full({5}, i, DType::f32, device));
            tensors.push_back({own.back(), Tensor::full({5}, 1, DType::f32, device),
                               Tensor::zeros({5}, DType::f32, device), Tensor::zeros({5}, DType::f32, device),
                               1e-3 * (i + 1), 0, 1});
        }
        adamw(tensors);
    }
    check_all(params[1], params[0], rounding_of(DType::f32));
}

TEST_CASE("sgd on the device") {
    DEMI_NEEDS_GPU;
    for (const Types& types : kTypes)
        for (const SgdOptions& options :
             {SgdOptions{}, SgdOptions{0.9, false, 0.5}, SgdOptions{0.9, true, 2}}) {
            INFO(name(types.param), ", ", name(types.grad), ", momentum ", options.momentum);
            const std::vector<Tensor> start = draw(types.param, 2);
            std::vector<std::vector<Tensor>> results[2];
            for (Device device : {Device::cpu(), test_device()}) {
                const std::vector<Tensor> params = on(device, start),
                                          b = zeros(state_type(types.param), device);
                for (uint64_t step = 0; step < 2; ++step) {
                    const std::vector<Tensor> grads = on(device, draw(types.grad, 20 + step));
                    std::vector<SgdTensor> tensors;
                    for (size_t i = 0; i < params.size(); ++i)
                        tensors.push_back(
                            {params[i], grads[i], b[i], 0.1 / static_cast<double>(1 + i), 0.01});
                    sgd(tensors, options);
                }
                results[device.is_cpu() ? 0 : 1] = {params, b};
            }
            check_all(results[1][0], results[0][0], rounding_of(types.param, 2));
            check_all(results[1][1], results[0][1], rounding_of(state_type(types.param)));
        }
}

TEST_CASE("ema on the device") {
    DEMI_NEEDS_GPU;
    for (const Types& types : kTypes) {
        const std::vector<Tensor> src = draw(types.grad, 3), start = draw(types.param, 4);
        const std::vector<Tensor> want = on(Device::cpu(), start), got = on(test_device(), start);
        ema(want, src, 0.99);
        ema(got, on(test_device(), src), 0.99);
        for (size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i], want[i]) == "");
    }
}

TEST_CASE("gradient norms on the device") {
    DEMI_NEEDS_GPU;
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
        const std::vector<Tensor> host = draw(dtype, 5);
        std::vector<Tensor> there = on(test_device(), host);
        CHECK(grad_norm(there) == doctest::Approx(grad_norm(host)).epsilon(1e-12));
        CHECK(grad_norm(there) == grad_norm(there));
        CHECK(grads_finite(there));
        scale_grads(there, 0.3);
        scale_grads(host, 0.3);
        for (size_t i = 0; i < host.size(); ++i) CHECK(same_bits(there[i], host[i]) == "");
        for (double bad : {INFINITY, -INFINITY, NAN})
            for (size_t i : {size_t{0}, size_t{4}}) {
                std::vector<Tensor> with = on(test_device(), host);
                Tensor last = with[i].view({-1}).slice(0, with[i].numel() - 1, with[i].numel());
                copy(last, Tensor::full({1}, bad, dtype));
                CHECK(!grads_finite(with));
                CHECK(!std::isfinite(grad_norm(with)));
            }
    }
    CHECK(grad_norm(std::vector<Tensor>{Tensor(), Tensor::zeros({0}, DType::f32, test_device())}) == 0);
}

TEST_CASE("factors of gradients are made and used without leaving the device") {
    for (Device device : {Device::cpu(), test_device()}) {
        INFO(name(device));
        const std::vector<Tensor> grads = on(device, draw(DType::f32, 30)),
                                  more = on(device, draw(DType::f16, 31));
        const double norms[2] = {grad_norm(grads) * 0.5, grad_norm(more) * 0.5};
        const std::vector<std::vector<Tensor>> groups{grads, {Tensor()}, more};
        const std::vector<double> got = grad_factors(groups, 0.5, 3, device).to_vector<double>();
        REQUIRE(got.size() == 6);
        CHECK(got[0] == doctest::Approx(norms[0]).epsilon(1e-12));
        CHECK(got[1] == 0);
        CHECK(got[2] == doctest::Approx(norms[1]).epsilon(1e-12));
        CHECK(got[3] == doctest::Approx(0.5 * clip_factor(norms[0], 3)).epsilon(1e-12));
        CHECK(got[4] == 0.5);
        CHECK(grad_factors(groups, 0.5, 0, device).to_vector<double>()[5] == 0.5);

        // The step with factors is the step with numbers; with one that is not finite there is none.
        for (bool finite : {true, false}) {
            if (!finite) fill(grads[0], INFINITY);
            const Tensor factors = grad_factors(groups, 0.5, 3, device);
            std::vector<Tensor> params[2];
            for (int way = 0; way < 2; ++way) {
                params[way] = on(device, draw(DType::f32, 32));
                const std::vector<Tensor> m = zeros(DType::f32, device), v = zeros(DType::f32, device);
                std::vector<AdamwTensor> tensors;
                std::vector<SgdTensor> plain;
                for (size_t i = 0; i < m.size(); ++i) {
                    tensors.push_back({params[way][i], grads[i], m[i], v[i], 1e-2, 0.1, 1, Tensor()});
                    if (way == 0) tensors.back().factor = factors.select(0, 1).select(0, 0);
                    plain.push_back({params[way][i], grads[i], Tensor(), 1e-2, 0.1, tensors.back().factor});
                }
                if (way == 1 && !finite) continue;
                const double scale = way == 0 ? 1 : factors.to_vector<double>()[3];
                adamw(tensors, {.grad_scale = scale});
                sgd(plain, {.grad_scale = scale});
            }
            for (size_t i = 0; i < params[0].size(); ++i) CHECK(same_bits(params[0][i], params[1][i]) == "");
        }
    }
}

TEST_CASE("dropout and drop_path draw on the device what they draw on the CPU") {
    DEMI_NEEDS_GPU;
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (const Shape& shape : {Shape{3}, Shape{4, 1}, Shape{5, 33}, Shape{7, 64}, Shape{3, 20001}}) {
            INFO(name(dtype), " ", shape[0]);
            Generator generator{6}, a{7, 3}, b{7, 3};
            Tensor x = Tensor::empty(shape, dtype);
            normal(x, generator);
            const Tensor there = x.to(test_device());
            CHECK(same_bits(dropout(there, 0.3, a).value(), dropout(x, 0.3, b).value()) == "");
            CHECK(same_bits(drop_path(there, 0.4, a).value(), drop_path(x, 0.4, b).value()) == "");
            CHECK(a == b);
        }
    const Tensor nan = Tensor::full({64}, NAN);
    Generator a{8};
    CHECK(same_bits(dropout(nan.to(test_device()), 1, a).value(), Tensor::zeros({64})) == "");
}

}  // namespace demi::test
