#include "ops/where/where.h"

#include <doctest/doctest.h>

#include "tests/ops/binary.h"
#include "tests/support/compare.h"

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
    CHECK_THROWS_WITH_AS(masked_fill(x, checkered({2, 2, 3}), 0),
                         "[masked_fill] the mask must broadcast to (2, 3): got bool (2, 2, 3) on cpu", Error);
}

}  // namespace demi::test
