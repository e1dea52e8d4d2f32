// logical_and, logical_or, logical_xor, logical_not, any, all.
#include "ops/elementwise/compare.h"
#include "ops/reduce/reduce.h"

#include <doctest/doctest.h>

#include "ops/operators.h"
#include "tests/ops/binary.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

using Bits = std::vector<uint8_t>;

Bits bits(const Tensor& t) {
    CHECK(t.dtype() == DType::boolean);
    return t.to_vector<uint8_t>();
}

// Numbers of which about half are 0.
void make_sparse(Arrays& x) {
    for (Array& a : x)
        for (double& v : a.data) v = std::fabs(v) < 1 ? 0 : v;
}

template <class F, class R> void check_logical(std::string op, F fn, R reference) {
    OpCase c = binary_case(
        op, [](const Variable& a, const Variable&) { return a; },
        [reference](double a, double b) { return reference(a != 0, b != 0) ? 1.0 : 0.0; });
    c.fn = [fn](const Vars& x) { return Variable(fn(x[0], x[1])); };
    c.prepare = make_sparse;
    c.output_dtypes = {DType::boolean};
    c.gradients = false;
    check_op(c);
}

// One element of the result from the truths that it comes from.
template <class F, class R> void check_quantifier(std::string op, F fn, R fold) {
    struct Which {
        Shape shape;
        Dims dims;
    };
    const std::vector<Which> cases = {
        {{}, {}},         {{7}, 0},           {{3, 5}, {}},
        {{3, 5}, 0},      {{3, 5}, -1},       {{2, 3, 5}, {0, 2}},
        {{2, 3, 5}, {1}}, {{3, 0, 2}, 1},     {{3, 0, 2}, {}},
        {{0, 3}, 1},      {{3, 0}, {0, 1}},   {{300, 257}, 0},
        {{300, 257}, 1},  {{2, 40000}, {-1}},
    };
    for (const Which& which : cases)
        for (const bool keepdim : {false, true}) {
            OpCase c;
            c.op = op;
            c.shapes = {{which.shape}};
            c.fn = [=](const Vars& x) { return Variable(fn(x[0], which.dims, keepdim)); };
            c.reference = [=](const Arrays& x) -> Arrays {
                const Shape kept = keep_reduced("test", x[0].shape, which.dims);
                std::vector<std::vector<bool>> groups(static_cast<size_t>(kept.numel()));
                const Array places(kept);
                for_each_index(x[0].shape, [&](const Shape& at) {
                    size_t flat = 0;
                    for (int d = 0; d < kept.rank(); ++d)
                        flat = flat * static_cast<size_t>(kept[d]) +
                               static_cast<size_t>(kept[d] == 1 ? 0 : at[d]);
                    groups[flat].push_back(x[0](at) != 0);
                });
                Array y(keepdim ? kept : drop_reduced(x[0].shape, which.dims));
                for (int64_t i = 0; i < y.numel(); ++i) y[i] = fold(groups[static_cast<size_t>(i)]);
                return {y};
            };
            c.prepare = [op](Arrays& x) {  // mostly one answer, so that single elements decide
                for (int64_t i = 0; i < x[0].numel(); ++i) x[0][i] = (i % 7 == 3) == (op == "any") ? 0.5 : 0;
                for (int64_t i = 0; i < x[0].numel(); ++i)
                    if (i * 2 < x[0].numel()) x[0][i] = op == "any" ? 0 : 0.5;
            };
            c.output_dtypes = {DType::boolean};
            c.gradients = false;
            check_op(c);
        }
}

}  // namespace

TEST_CASE("logical_and, logical_or, logical_xor, logical_not") {
    check_logical("logical_and", logical_and, [](bool a, bool b) { return a && b; });
    check_logical("logical_or", logical_or, [](bool a, bool b) { return a || b; });
    check_logical("logical_xor", logical_xor, [](bool a, bool b) { return a != b; });
    OpCase c = unary_case(
        "logical_not", [](const Variable& x) { return Variable(logical_not(x)); },
        [](double a) { return a == 0; });
    c.prepare = make_sparse;
    c.output_dtypes = {DType::boolean};
    c.gradients = false;
    check_op(c);

    // What f32 would round to 0, NaN, and integers beside floats.
    const Tensor small =
        Tensor::from(std::vector<double>{1e-300, 0, std::nan(""), -0.0}, {4}).to(test_device());
    const Tensor whole = Tensor::from(std::vector<int64_t>{INT64_MIN, 0, 7, 1}, {4}).to(test_device());
    CHECK(bits(logical_and(small, whole)) == Bits{1, 0, 1, 0});
    CHECK(bits(logical_or(small, whole)) == Bits{1, 0, 1, 1});
    CHECK(bits(logical_xor(small, whole)) == Bits{0, 0, 0, 1});
    CHECK(bits(logical_not(small)) == Bits{0, 1, 0, 1});
}

TEST_CASE("logical operators on bool") {
    const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {4}).to(test_device());
    CHECK(bits((x > 1) & (x < 4)) == Bits{0, 1, 1, 0});
    CHECK(bits((x <= 1) | (x >= 4)) == Bits{1, 0, 0, 1});
    CHECK(bits((x > 1) ^ (x > 2)) == Bits{0, 1, 0, 0});
    CHECK(bits(!(x == 2)) == Bits{1, 0, 1, 1});
    CHECK(bits(~Variable(x == 2)) == Bits{1, 0, 1, 1});
    CHECK_THROWS_WITH_AS((x > 1) & x,
                         doctest::Contains("[&] needs bool tensors (comparisons make them): got f32"), Error);
    CHECK_THROWS_WITH_AS(!Tensor::zeros({2}, DType::u8),
                         "[!] needs bool tensors (comparisons make them): got u8 (2,) on cpu", Error);
    CHECK_THROWS_AS(Tensor() | x, Error);
}

TEST_CASE("any and all") {
    const auto one = [](bool wanted) {
        return [wanted](const std::vector<bool>& v) {
            for (const bool b : v)
                if (b == wanted) return wanted;
            return !wanted;
        };
    };
    check_quantifier("any", any, one(true));
    check_quantifier("all", all, one(false));
    CHECK(bits(any(Tensor::full({2}, std::nan("")))) == Bits{1});
    CHECK_THROWS_WITH_AS(any(Tensor::zeros({2}), 1), "[any] dimension must be in [-1, 1): got 1", Error);
    CHECK_THROWS_WITH_AS(all(Tensor::zeros({2, 2}), {0, -2}), "[all] dimension -2 is named twice", Error);
    CHECK_THROWS_WITH_AS(all(Variable()), "[all] needs a defined tensor: got an undefined tensor", Error);
}

}  // namespace demi::test
