#include "ops/l2_normalize/l2_normalize.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {
namespace {

OpCase case_with(double eps) {
    return {
        .op = "l2_normalize",
        .shapes = {{{1}}, {{0, 3}}, {{3, 0}}, {{5, 33}}, {{2, 3, 70}}, {{300, 129}}},
        .fn = [=](const Vars& x) { return l2_normalize(x[0], eps); },
        .reference = [=](const Arrays& x) -> Arrays {
            Array y(x[0].shape);
            const int64_t width = y.shape.back();
            for (int64_t i = 0; i < y.numel(); ++i) {
                double square = 0;
                for (int64_t k = 0; k < width; ++k) square += std::pow(x[0][i / width * width + k], 2);
                y[i] = x[0][i] / std::max(std::sqrt(square), eps);
            }
            return {y};
        },
        .prepare =
            [](Arrays& x) {
                for (double& a : x[0].data)
                    if (std::fabs(a) < 0.1) a = 0.7;
            },
        .factor = 2,
        .grad_factor = 10,
    };
}

}  // namespace

TEST_CASE("l2_normalize") {
    check_op(case_with(1e-12));
    check_op(case_with(100));  // every row is shorter than eps
}

TEST_CASE("l2_normalize of zeros") {
    const Variable x(Tensor::zeros({2, 3}), true);
    const Variable y = l2_normalize(x, 1e-6);
    CHECK(y.value().to_vector<double>() == std::vector<double>(6, 0.0));
    y.backward(Tensor::full({2, 3}, 1));
    for (double g : x.grad().to_vector<double>()) CHECK(g == doctest::Approx(1e6));
}

TEST_CASE("l2_normalize refuses") {
    CHECK_THROWS_WITH_AS(l2_normalize(Tensor::zeros({2}), 0),
                         "[l2_normalize] eps must be at least 1.2e-38: got 0", Error);
    CHECK_THROWS_AS(l2_normalize(Tensor::zeros({})), Error);
    CHECK_THROWS_AS(l2_normalize(Tensor::zeros({2}, DType::i64)), Error);
}

}  // namespace demi::test
