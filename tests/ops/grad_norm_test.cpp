#include "ops/optimizer/grad_norm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/parallel.h"
#include "tests/ops/normal_tensors.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

std::vector<Tensor> draw(DType dtype) {
    std::vector<Tensor> out = normal_tensors({{5}, {0}, {170001}, {3, 50}, {}}, dtype, 3);
    out.push_back(Tensor());
    return out;
}

double norm_of(const std::vector<Tensor>& grads) {
    double sum = 0;
    for (const Tensor& g : grads)
        if (g.defined())
            for (double v : g.to_vector<double>()) sum += v * v;
    return std::sqrt(sum);
}

}  // namespace

TEST_CASE("grad_norm and clipping follow a double oracle, with the same bits on any number of threads") {
    const int before = num_threads();
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
        const std::vector<Tensor> grads = draw(dtype);
        const double want = norm_of(grads);
        set_num_threads(1);
        const double got = grad_norm(grads);
        CHECK(got == doctest::Approx(want).epsilon(1e-12));
        set_num_threads(3);
        CHECK(grad_norm(grads) == got);
        CHECK(clip_grad_norm(grads, 1e6) == got);
        CHECK(norm_of(grads) == want);
        CHECK(clip_grad_norm(grads, 3) == got);
        CHECK(norm_of(grads) == doctest::Approx(3).epsilon(is_half(dtype) ? 1e-3 : 1e-6));
    }
    set_num_threads(before);
}

TEST_CASE("grad_norm of huge, infinite and NaN gradients") {
    const std::vector<Tensor> huge{Tensor::full({4}, 3e38)};
    CHECK(grad_norm(huge) == doctest::Approx(6e38));
    for (double bad : {INFINITY, -INFINITY, NAN})
        for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
            std::vector<Tensor> grads = draw(dtype);
            CHECK(grads_finite(grads));
            std::vector<double> values = grads[2].to_vector<double>();
            values.back() = bad;
            grads[2] = Tensor::from(values, {170001}).to(dtype);
            CHECK_FALSE(grads_finite(grads));
            CHECK_FALSE(std::isfinite(clip_grad_norm(grads, 1)));
            CHECK(grads[0].to_vector<double>() == draw(dtype)[0].to_vector<double>());
        }
    CHECK(grad_norm({}) == 0);
    CHECK(grads_finite({}));
}

TEST_CASE("grad_norm and clipping of f64 whose squares leave the range, and of factors below f32") {
    const auto there = [](const Tensor& t) { return t.to(test_device()).clone(); };
    for (double size : {1e-320, 1e-300, 1e-200, 1e-140, 1.0, 1e160, 1e305}) {
        CAPTURE(size);
        const std::vector<Tensor> grads{there(Tensor::full({3}, size, DType::f64)),
                                        there(Tensor::full({40001}, size, DType::f64)),
                                        there(Tensor::full({5}, size < 1 ? 0 : 1, DType::f16))};
        const double want = size * std::sqrt(40004.0 + (size == 1 ? 5 : 0));
        CHECK(grad_norm(grads) == doctest::Approx(want).epsilon(size < 1e-310 ? 1e-2 : 1e-12));
        if (size >= 1e-310) {
            const double factor =
                grad_factors(std::vector<std::vector<Tensor>>{grads}, 1, want / 4, test_device())
                    .to_vector<double>()[1];
            CHECK(factor == doctest::Approx(std::min(1.0, want / 4 / (want + 1e-6))).epsilon(1e-12));
        }
    }
    for (DType dtype : {DType::f32, DType::bf16}) {
        const std::vector<Tensor> huge{there(Tensor::full({7, 3}, 3e38, dtype))};
        const double norm = clip_grad_norm(huge, 1e-6);
        for (double v : huge[0].to_vector<double>())
            CHECK(v == doctest::Approx(3e38 / norm * 1e-6).epsilon(is_half(dtype) ? 4e-3 : 1e-6));
        const std::vector<Tensor> tiny{there(Tensor::full({3}, 1e-30, dtype))};
        scale_grads(tiny, 1e45);
        for (double v : tiny[0].to_vector<double>())
            CHECK(v == doctest::Approx(1e15).epsilon(is_half(dtype) ? 4e-3 : 1e-6));
    }
}

TEST_CASE("grad_norm refuses") {
    const std::vector<Tensor> ints{Tensor::zeros({2}, DType::i64)};
    CHECK_THROWS_WITH_AS(grad_norm(ints),
                         "[grad_norm] gradient 0 must be a float tensor: got i64 (2,) on cpu", Error);
    const std::vector<Tensor> turned{Tensor::zeros({2, 3}).transpose(0, 1)};
    CHECK(grad_norm(turned) == 0);
    CHECK_THROWS_AS(clip_grad_norm(turned, 1), Error);
    CHECK_THROWS_WITH_AS(clip_grad_norm({}, 0), "[clip_grad_norm] max_norm must be positive: got 0", Error);
}

}  // namespace demi::test
