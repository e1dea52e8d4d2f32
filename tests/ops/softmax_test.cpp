#include "ops/softmax/softmax.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {
namespace {

Arrays reference(const Array& x, int dim) {
    Array y(x.shape);
    const int64_t width = x.shape[dim];
    for_each_index(x.shape, [&](Shape at) {
        const double here = x(at);
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) {
            Shape other = at;
            other[dim] = i;
            sum += std::exp(x(other) - here);
        }
        y(at) = 1 / sum;
    });
    return {y};
}

}  // namespace

TEST_CASE("softmax over the last dimension") {
    check_op({
        .op = "softmax",
        .shapes = {{{1}}, {{0, 3}}, {{3, 0}}, {{4, 1}}, {{5, 33}}, {{2, 3, 70}}, {{260, 130}}},
        .fn = [](const Vars& x) { return softmax(x[0]); },
        .reference = [](const Arrays& x) { return reference(x[0], x[0].shape.rank() - 1); },
        .range = {-5, 5},
        .factor = 2,
    });
}

TEST_CASE("softmax over an inner dimension") {
    check_op({
        .op = "softmax",
        .shapes = {{{7, 5}}, {{2, 35, 3}}},
        .fn = [](const Vars& x) { return softmax(x[0], -2); },
        .reference = [](const Arrays& x) { return reference(x[0], x[0].shape.rank() - 2); },
        .factor = 2,
    });
}

TEST_CASE("softmax of large values, masked values and NaN") {
    const double inf = INFINITY;
    for (DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        const Variable x(
            Tensor::from(std::vector<double>{30000, 30000, -inf, -inf, -inf, -inf, -inf, NAN, -inf}, {3, 3})
                .to(dtype),
            true);
        const Variable y = softmax(x);
        const std::vector<double> got = y.value().to_vector<double>();
        CHECK(got[0] == doctest::Approx(0.5).epsilon(0.01));
        CHECK(got[2] == 0);
        for (size_t i = 3; i < 6; ++i) CHECK(got[i] == 0);
        for (size_t i = 6; i < 9; ++i) CHECK(std::isnan(got[i]));
        y.backward(Tensor::full({3, 3}, 1, dtype));
        const std::vector<double> grad = x.grad().to_vector<double>();
        for (size_t i = 3; i < 6; ++i) CHECK(grad[i] == 0);
    }
}

TEST_CASE("softmax refuses") {
    CHECK_THROWS_WITH_AS(softmax(Tensor::zeros({2}, DType::i64)),
                         "[softmax] x must be a floating-point tensor: got i64 (2,) on cpu", Error);
    CHECK_THROWS_AS(softmax(Tensor::zeros({2, 2}), 2), Error);
    CHECK_THROWS_AS(softmax(Tensor::zeros({})), Error);
}

}  // namespace demi::test
