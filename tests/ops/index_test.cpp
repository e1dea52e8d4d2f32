// index_select and gather.
#include <doctest/doctest.h>

#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

OpCase select_case(int dim, std::vector<int64_t> chosen, std::vector<std::vector<Shape>> shapes) {
    const Tensor index = Tensor::from(chosen, {static_cast<int64_t>(chosen.size())});
    return {.op = "index_select",
            .shapes = std::move(shapes),
            .fn = [=](const Vars& x) { return index_select(x[0], dim, index); },
            .reference = [=](const Arrays& x) -> Arrays {
                const int d = dim < 0 ? dim + x[0].shape.rank() : dim;
                Shape shape = x[0].shape;
                shape[d] = static_cast<int64_t>(chosen.size());
                Array y(shape);
                for_each_index(shape, [&](const Shape& at) {
                    Shape from = at;
                    from[d] = chosen[static_cast<size_t>(at[d])];
                    y(at) = x[0](from);
                });
                return {y};
            }};
}

// An index for x of this shape, different at every place, with repeats.
Tensor gather_index(Shape shape, int dim, int64_t count) {
    const int64_t size = shape[dim];
    shape[dim] = count;
    std::vector<int64_t> at(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < at.size(); ++i) at[i] = static_cast<int64_t>(i * i + 3 * i) % size;
    return Tensor::from(at, shape);
}

}  // namespace

TEST_CASE("index_select") {
    check_op(select_case(0, {4, 0, 4, 2, 4}, {{{5}}, {{5, 3}}, {{5, 2, 3}}, {{5, 700}}}));
    check_op(select_case(1, {1, 1, 0}, {{{3, 2}}, {{3, 2, 5}}, {{0, 2}}, {{40, 2, 1000}}}));
    check_op(select_case(-1, {0, 2, 1}, {{{3}}, {{4, 3}}, {{2, 5, 3}}}));
    check_op(select_case(0, {}, {{{3, 2}}}));
    check_op(select_case(0, {0, 0, 0}, {{{1}}}));

    const Tensor ids = Tensor::from(std::vector<int32_t>{2, 0}, {2});
    CHECK(index_select(Tensor::arange(3), 0, ids).value().to_vector<int64_t>() == std::vector<int64_t>{2, 0});
    const Tensor x = Tensor::zeros({3, 4});
    CHECK_THROWS_WITH_AS(index_select(x, 0, Tensor::from(std::vector<int64_t>{0, 3}, {2})),
                         "[index_select] index must be in [0, 3): got 3 at position 1", Error);
    CHECK_THROWS_WITH_AS(index_select(x, 1, Tensor::from(std::vector<int64_t>{-1}, {1})),
                         "[index_select] index must be in [0, 4): got -1 at position 0", Error);
    CHECK_THROWS_WITH_AS(index_select(x, 0, Tensor::zeros({2})),
                         "[index_select] index must be an i64 or i32 tensor: got f32 (2,) on cpu", Error);
    CHECK_THROWS_AS(index_select(x, 0, Tensor::zeros({2, 2}, DType::i64)), Error);
    CHECK_THROWS_AS(index_select(x, 2, ids), Error);
}

TEST_CASE("index_select adds repeats in f32, in the order of the index") {
    const Variable x(Tensor::zeros({2, 1}, DType::f16), true);
    const Variable y = index_select(x, 0, Tensor::zeros({4096}, DType::i64));
    y.backward(Tensor::full({4096, 1}, 1, DType::f16));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{4096, 0});  // in f16 the sum would stop at 2048
}

TEST_CASE("gather") {
    for (int dim : {0, 1, -1})
        for (int64_t count : {1, 4}) {
            const auto index_for = [=](const Shape& s) {
                return gather_index(s, dim < 0 ? dim + s.rank() : dim, count);
            };
            check_op({.op = "gather",
                      .shapes = {{{3, 5}}, {{3, 2, 5}}, {{1, 1}}, {{70, 600}}},
                      .fn = [=](const Vars& x) { return gather(x[0], dim, index_for(x[0].shape())); },
                      .reference = [=](const Arrays& x) -> Arrays {
                          const int d = dim < 0 ? dim + x[0].shape.rank() : dim;
                          const Array index(index_for(x[0].shape));
                          Array y(index.shape);
                          for_each_index(y.shape, [&](const Shape& at) {
                              Shape from = at;
                              from[d] = static_cast<int64_t>(index(at));
                              y(at) = x[0](from);
                          });
                          return {y};
                      }});
        }
    const Tensor x = Tensor::zeros({3, 4});
    CHECK_THROWS_WITH_AS(gather(x, 1, Tensor::from(std::vector<int64_t>{0, 4, 1}, {3, 1})),
                         "[gather] index must be in [0, 4): got 4 at position 1", Error);
    CHECK_THROWS_WITH_AS(gather(x, 1, Tensor::zeros({2, 1}, DType::i64)),
                         "[gather] index must have x's shape (3, 4) but for dimension 1: got (2, 1)", Error);
    CHECK(gather(x, 1, Tensor::zeros({3, 0}, DType::i64)).shape() == Shape{3, 0});
}

}  // namespace demi::test
