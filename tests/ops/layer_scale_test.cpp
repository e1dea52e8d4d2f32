#include "ops/layer_scale/layer_scale.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("layer_scale") {
    check_op({
        .op = "layer_scale",
        .shapes = {{{1}, {1}},
                   {{0, 3}, {3}},
                   {{3, 0}, {0}},
                   {{5, 33}, {33}},
                   {{2, 3, 70}, {70}},
                   {{400, 128}, {128}}},
        .fn = [](const Vars& x) { return layer_scale(x[0], x[1]); },
        .reference = [](const Arrays& x) -> Arrays {
            return {zip(x[0], x[1], [](double a, double g) { return a * g; })};
        },
        .grad_factor = 20,
    });
}

TEST_CASE("layer_scale_add") {
    check_op({
        .op = "layer_scale_add",
        .shapes = {{{5, 33}, {5, 33}, {33}}, {{400, 128}, {400, 128}, {128}}},
        .fn = [](const Vars& x) { return layer_scale_add(x[0], x[1], x[2]); },
        .reference = [](const Arrays& x) -> Arrays {
            const Array scaled = zip(x[1], x[2], [](double a, double g) { return a * g; });
            return {zip(x[0], scaled, [](double a, double b) { return a + b; })};
        },
        .factor = 2,
        .grad_factor = 20,
    });
}

TEST_CASE("layer_scale with an f32 factor beside f16, and what it refuses") {
    const Variable x(Tensor::full({4, 2}, 2, DType::f16), true), gamma(Tensor::full({2}, 1e-5), true);
    const Variable y = layer_scale(x, gamma);
    CHECK(y.dtype() == DType::f16);
    y.backward(Tensor::full({4, 2}, 1, DType::f16));
    CHECK(gamma.grad().dtype() == DType::f32);
    CHECK(gamma.grad().to_vector<double>() == std::vector<double>{8, 8});
    CHECK_THROWS_WITH_AS(layer_scale(x, Tensor::zeros({3})),
                         "[layer_scale] gamma must be a float vector of shape (2,), the last size of x f16 "
                         "(4, 2) on cpu: got f32 (3,) on cpu",
                         Error);
    CHECK_THROWS_AS(layer_scale_add(Tensor::zeros({4, 2}), x, gamma), Error);
    CHECK_THROWS_AS(layer_scale_add(Tensor::zeros({2, 4}, DType::f16), x, gamma), Error);
}

}  // namespace demi::test
