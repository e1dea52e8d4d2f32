#include "ops/elementwise/where.h"

#include <doctest/doctest.h>

#include "ops/operators.h"
#include "tests/ops/binary.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

Tensor checkered(const Shape& shape) {
    std::vector<uint8_t> bits(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = i % 3 == 1;
    return Tensor::from(bits, shape).to(DType::boolean);
}

Variable choose(const Variable& a, const Variable& b) {
    return where(checkered(broadcast(a.shape(), b.shape(), "test")).to(a.device()), a, b);
}

}  // namespace

TEST_CASE("where") {
    OpCase c = binary_case("where", choose, [](double a, double) { return a; });
    c.reference = [](const Arrays& x) -> Arrays {
        const Shape shape = broadcast(x[0].shape, x[1].shape, "test");
        const Array bits(checkered(shape));
        Array y(shape);
        for_each_index(shape, [&](const Shape& at) { y(at) = bits(at) != 0 ? x[0](at) : x[1](at); });
        return {y};
    };
    check_op(c);
    check_mixed_dtypes(choose);
    const Tensor row = Tensor::from(std::vector<int32_t>{0, -7, 0}, {3}).to(DType::i32);
    const Variable y = where(row, Tensor::full({2, 1}, 1), Tensor::full({}, INFINITY));
    CHECK(y.value().to_vector<float>() == std::vector<float>{INFINITY, 1, INFINITY, INFINITY, 1, INFINITY});
    CHECK_THROWS_AS(where(Tensor(), y, y), Error);
    CHECK_THROWS_AS(where(Tensor::zeros({5}), y, y), Error);
}

TEST_CASE("where with numbers and with conditions from comparisons") {
    check_op(unary_case(
        "where number", [](const Variable& x) { return where(x > 0.5, x, -1.5); },
        [](double a) { return a > 0.5 ? a : -1.5; }));
    check_op(unary_case(
        "where number first", [](const Variable& x) { return where((x < 0.25) & (x > -1), 3, x); },
        [](double a) { return a < 0.25 && a > -1 ? 3 : a; }));
    // All three are stretched, the condition too.
    OpCase c = binary_case(
        "where broadcast", [](const Variable& a, const Variable&) { return a; },
        [](double a, double) { return a; });
    c.shapes = {{{4, 1}, {6}}, {{}, {3}}, {{1, 5}, {}}, {{1}, {0}}};
    c.fn = [](const Vars& x) { return where(checkered({2, 1, 1}).to(x[0].device()), x[0], x[1]); };
    c.reference = [](const Arrays& x) -> Arrays {
        const Array condition(checkered({2, 1, 1}));
        Array y(broadcast(condition.shape, broadcast(x[0].shape, x[1].shape, "test"), "test"));
        for_each_index(y.shape, [&](const Shape& at) { y(at) = condition(at) != 0 ? x[0](at) : x[1](at); });
        return {y};
    };
    check_op(c);

    const Tensor yes = checkered({4}).to(test_device());  // 0 1 0 0
    const auto dtype_of = [&](const Operand& a, const Operand& b) { return where(yes, a, b).dtype(); };
    const Tensor i32 = Tensor::zeros({4}, DType::i32, test_device()), flags = i32.to(DType::boolean);
    CHECK(dtype_of(1, 0) == DType::i64);
    CHECK(dtype_of(1, 0.5) == DType::f32);
    CHECK(dtype_of(i32, 5) == DType::i32);
    CHECK(dtype_of(0.5, i32) == DType::f32);
    CHECK(dtype_of(flags, 2) == DType::i64);
    CHECK(dtype_of(flags, flags) == DType::boolean);
    CHECK(dtype_of(i32.to(DType::f16), 0.1) == DType::f16);
    CHECK(dtype_of(i32.to(DType::f16), i32) == DType::f16);
    const Tensor real = Tensor::from(std::vector<float>{0, -0.5f, 0, std::nanf("")}, {4}).to(test_device());
    CHECK(where(real, 1, i32).value().to_vector<int64_t>() == std::vector<int64_t>{0, 1, 0, 1});
    // Exact where no float takes part; rounded once to a 16-bit float.
    const int64_t big = (INT64_C(1) << 53) + 1;
    CHECK(where(yes, big, i32.to(DType::i64)).value().to_vector<int64_t>() ==
          std::vector<int64_t>{0, big, 0, 0});
    const Tensor tie = Tensor::full({4}, (1 << 24) + (1 << 16) + 1, DType::i64, test_device());
    CHECK(where(yes, tie, i32.to(DType::bf16)).value().to_vector<double>()[1] == (1 << 24) + (1 << 17));
}

TEST_CASE("where refuses what it cannot do") {
    const Tensor x = Tensor::zeros({2, 3}), yes = checkered({2, 3});
    CHECK_THROWS_WITH_AS(where(Variable(), x, x), "[where] the condition must be a defined tensor", Error);
    CHECK_THROWS_WITH_AS(where(yes, Variable(), x),
                         "[where] needs defined tensors: got an undefined tensor and f32 (2, 3) on cpu",
                         Error);
    CHECK_THROWS_AS(where(yes, Variable(), 1), Error);
    CHECK_THROWS_AS(where(yes, x, Tensor::zeros({4})), Error);
    CHECK_THROWS_WITH_AS(where(yes, x.to(DType::i32), INT64_C(1) << 40),
                         "[where] the number 1099511627776 does not fit i32", Error);
}

TEST_CASE("masked_fill") {
    check_op(
        {.op = "masked_fill",
         .shapes = {{{}}, {{1}}, {{0, 3}}, {{3, 5, 7}}, {{130, 257}}},
         .fn =
             [](const Vars& x) { return masked_fill(x[0], checkered(x[0].shape()).to(x[0].device()), -2.5); },
         .reference = [](const Arrays& x) -> Arrays {
             Array y = x[0];
             const Array bits(checkered(y.shape));
             for (int64_t i = 0; i < y.numel(); ++i)
                 if (bits[i] != 0) y[i] = -2.5;
             return {y};
         }});
    const Variable x(Tensor::zeros({2, 3}), true);
    const Variable y = masked_fill(x, checkered({3}), -INFINITY);
    CHECK(y.value().to_vector<float>() == std::vector<float>{0, -INFINITY, 0, 0, -INFINITY, 0});
    y.backward(Tensor::full({2, 3}, 1));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 0, 1, 1, 0, 1});
    check_op(unary_case(
        "masked_fill of a comparison", [](const Variable& v) { return masked_fill(v, v < 0, 0.5); },
        [](double a) { return a < 0 ? 0.5 : a; }));
    // Masks of any dtype: what is not 0 holds, the smallest f64 and NaN, too.
    const Tensor tiny = Tensor::from(std::vector<double>{0, 4e-324, std::nan("")}, {3}).to(test_device());
    const Tensor zeros = Tensor::zeros({3}, DType::f32, test_device());
    CHECK(masked_fill(zeros, tiny, 7).value().to_vector<float>() == std::vector<float>{0, 7, 7});
    CHECK(where(tiny, 7, zeros).value().to_vector<float>() == std::vector<float>{0, 7, 7});
    const Tensor bytes = Tensor::from(std::vector<uint8_t>{255, 0, 1}, {3}).to(test_device());
    CHECK(masked_fill(zeros, bytes, 7).value().to_vector<float>() == std::vector<float>{7, 0, 7});
    const Tensor whole = Tensor::arange(4, DType::i64, test_device());
    CHECK(masked_fill(whole, whole > 1, INT64_MAX).value().to_vector<int64_t>() ==
          std::vector<int64_t>{0, 1, INT64_MAX, INT64_MAX});
    CHECK_THROWS_WITH_AS(masked_fill(whole, whole > 1, 0.5),
                         "[masked_fill] needs a whole number beside i64: got 0.5", Error);
    CHECK_THROWS_WITH_AS(masked_fill(whole.to(DType::u8), whole > 1, 256),
                         "[masked_fill] the number 256 does not fit u8", Error);
    CHECK_THROWS_WITH_AS(masked_fill(x, Tensor(), 0), "[masked_fill] the mask must be a defined tensor",
                         Error);
    CHECK_THROWS_WITH_AS(masked_fill(Variable(), checkered({3}), 0),
                         "[masked_fill] x must be a defined tensor", Error);
    CHECK_THROWS_WITH_AS(masked_fill(x, checkered({2, 2, 3}), 0),
                         "[masked_fill] the mask must broadcast to (2, 3): got bool (2, 2, 3) on cpu", Error);
}

}  // namespace demi::test
