// add, sub, mul, div, neg: on tensors, with numbers, as operators.
#include <doctest/doctest.h>

#include "autograd/print.h"
#include "ops/operators.h"
#include "tests/ops/binary.h"
#include "tests/support/compare.h"

namespace demi::test {

TEST_CASE("add") {
    check_op(binary_case("add", add, [](double a, double b) { return a + b; }));
    check_mixed_dtypes(add);
    check_op(unary_case(
        "add 3", [](const Variable& x) { return x + 3.25; }, [](double a) { return a + 3.25; }));
    check_op(unary_case(
        "3 add", [](const Variable& x) { return 3.25 + x; }, [](double a) { return a + 3.25; }));
}

TEST_CASE("sub") {
    check_op(binary_case("sub", sub, [](double a, double b) { return a - b; }));
    check_mixed_dtypes(sub);
    check_op(unary_case(
        "sub 3", [](const Variable& x) { return x - 3.25; }, [](double a) { return a - 3.25; }));
    check_op(unary_case(
        "3 sub", [](const Variable& x) { return 3.25 - x; }, [](double a) { return 3.25 - a; }));
}

TEST_CASE("mul") {
    check_op(binary_case("mul", mul, [](double a, double b) { return a * b; }));
    check_mixed_dtypes(mul);
    check_op(unary_case(
        "mul 3", [](const Variable& x) { return x * 3.25; }, [](double a) { return a * 3.25; }));
    check_op(unary_case(
        "3 mul", [](const Variable& x) { return 3.25 * x; }, [](double a) { return a * 3.25; }));
    const Variable x(Tensor::full({3}, 2), true);
    (x * x).backward(Tensor::full({3}, 1));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{4, 4, 4});
}

TEST_CASE("div") {
    OpCase c = binary_case("div", div, [](double a, double b) { return a / b; });
    c.ranges = {{-2, 2}, {0.5, 2}};
    check_op(c);
    check_mixed_dtypes(div);
    check_op(unary_case(
        "div 3", [](const Variable& x) { return x / 3.25; }, [](double a) { return a / 3.25; }));
    check_op(unary_case(
        "3 div", [](const Variable& x) { return 3.25 / x; }, [](double a) { return 3.25 / a; }, {0.5, 2}));
}

TEST_CASE("neg") {
    check_op(unary_case(
        "neg", [](const Variable& x) { return -x; }, [](double a) { return -a; }));
}

TEST_CASE("arithmetic refuses what it cannot do") {
    const Tensor x = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(add(x, Tensor::zeros({2, 4})),
                         "[add] shapes cannot be broadcast together: (2, 3) and (2, 4)", Error);
    CHECK_THROWS_WITH_AS(mul(Tensor::zeros({2}, DType::i64), Tensor::zeros({2}, DType::i64)),
                         "[mul] needs a floating-point tensor: got i64 (2,) on cpu and i64 (2,) on cpu",
                         Error);
    CHECK_THROWS_WITH_AS(neg(Tensor::zeros({2}, DType::i64)),
                         "[neg] needs a floating-point tensor: got i64 (2,) on cpu", Error);
    CHECK_THROWS_WITH_AS(div(Variable(), x), doctest::Contains("[div] needs defined tensors"), Error);
    CHECK_THROWS_WITH_AS(Variable() + 1.0, doctest::Contains("[add] needs a floating-point tensor"), Error);
    Shape deep{1, 1, 1, 1, 1, 1, 1, 2};
    CHECK(add(Tensor::zeros(deep), x.slice(0, 0, 1).slice(1, 0, 1)).shape() == deep);
}

TEST_CASE("arithmetic on an integer operand gives a float and the float its gradient") {
    const Variable x(Tensor::full({3}, 1.5), true);
    const Variable y = x * Variable(Tensor::arange(3));
    CHECK(y.value().to_vector<float>() == std::vector<float>{0, 1.5, 3});
    y.backward(Tensor::full({3}, 1));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 1, 2});
}

TEST_CASE("arithmetic sees that a saved operand was overwritten") {
    Tensor b = Tensor::full({3}, 2);
    const Variable x(Tensor::full({3}, 1.5), true);
    const Variable y = x * Variable(b);
    b.mutable_data<float>()[0] = 3;
    CHECK_THROWS_WITH_AS(y.backward(Tensor::full({3}, 1)), doctest::Contains("modified in place"), Error);
}

}  // namespace demi::test
