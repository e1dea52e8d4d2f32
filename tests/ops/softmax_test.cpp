// softmax and log_softmax.
#include "ops/softmax/softmax.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {
namespace {

struct Softmax {
    std::string name;
    Variable (*fn)(const Variable& x, int dim);
    double (*of)(double share);  // of one element's share of the sum
};

Arrays reference(const Array& x, int dim, const Softmax& s) {
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
        y(at) = s.of(1 / sum);
    });
    return {y};
}

void check_dim(const Softmax& s, const std::vector<std::vector<Shape>>& shapes, int dim, Range range) {
    check_op({
        .op = s.name,
        .shapes = shapes,
        .fn = [=](const Vars& x) { return s.fn(x[0], dim); },
        .reference = [=](const Arrays& x) { return reference(x[0], x[0].shape.rank() + dim, s); },
        .range = range,
        .factor = 2,
    });
}

// Large values share as small ones do, masked ones get nothing, and a row of masked ones gets nothing at all.
void check_special(const Softmax& s) {
    const double inf = INFINITY;
    for (DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        const Variable x(
            Tensor::from(std::vector<double>{30000, 30000, -inf, -inf, -inf, -inf, -inf, NAN, -inf}, {3, 3})
                .to(dtype),
            true);
        const Variable y = s.fn(x, -1);
        const std::vector<double> got = y.value().to_vector<double>();
        CHECK(got[0] == doctest::Approx(s.of(0.5)).epsilon(0.01));
        for (size_t i = 2; i < 6; ++i) CHECK(got[i] == s.of(0));
        for (size_t i = 6; i < 9; ++i) CHECK(std::isnan(got[i]));
        y.backward(Tensor::full({3, 3}, 1, dtype));
        const std::vector<double> grad = x.grad().to_vector<double>();
        for (size_t i = 3; i < 6; ++i) CHECK(grad[i] == 0);
    }
}

void check_softmax(const Softmax& s) {
    check_dim(s, {{{1}}, {{0, 3}}, {{3, 0}}, {{4, 1}}, {{5, 33}}, {{2, 3, 70}}, {{260, 130}}}, -1, {-5, 5});
    check_dim(s, {{{7, 5}}, {{2, 35, 3}}}, -2, {});
    check_special(s);
    const std::string message = "[" + s.name + "] x must be a floating-point tensor: got i64 (2,) on cpu";
    CHECK_THROWS_WITH_AS(s.fn(Tensor::zeros({2}, DType::i64), -1), message.c_str(), Error);
    CHECK_THROWS_AS(s.fn(Tensor::zeros({2, 2}), 2), Error);
    CHECK_THROWS_AS(s.fn(Tensor::zeros({}), -1), Error);
}

}  // namespace

TEST_CASE("softmax") {
    check_softmax({"softmax", softmax, [](double share) { return share; }});
}

TEST_CASE("log_softmax") {
    check_softmax({"log_softmax", log_softmax, [](double share) { return std::log(share); }});
}

}  // namespace demi::test
