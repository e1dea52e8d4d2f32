// reshape, transpose, permute, slice, select, squeeze, unsqueeze, expand, concat, stack,
// split, chunk, unbind, cast.
#include <doctest/doctest.h>

#include "ops/elementwise/cast.h"
#include "ops/views/concat.h"
#include "ops/views/join.h"
#include "ops/views/split.h"
#include "ops/views/views.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

// y[at] = x[from(at)]
template <class F> Array pick(const Array& x, const Shape& shape, F from) {
    Array y(shape);
    for_each_index(shape, [&](const Shape& at) { y(at) = x(from(at)); });
    return y;
}

}  // namespace

TEST_CASE("reshape") {
    check_op({.op = "reshape",
              .shapes = {{{6, 5}}, {{2, 3, 5}}, {{30}}},
              .fn =
                  [](const Vars& x) {
                      return reshape(x[0], {3, -1});
                  },
              .reference = [](const Arrays& x) -> Arrays {
                  Array y = x[0];
                  y.shape = {3, 10};
                  return {y};
              }});
    CHECK(reshape(Tensor::zeros({0, 3}), {3, 0}).shape() == Shape{3, 0});
    CHECK_THROWS_AS(reshape(Tensor::zeros({2, 3}), {4, -1}), Error);
}

TEST_CASE("transpose and permute") {
    check_op(
        {.op = "transpose",
         .shapes = {{{3, 4, 5}}, {{1, 1, 1}}, {{2, 0, 3}}, {{60, 3, 50}}},
         .fn = [](const Vars& x) { return transpose(x[0], 0, -1); },
         .reference = [](const Arrays& x) -> Arrays {
             const Shape s = x[0].shape;
             return {pick(x[0], {s[2], s[1], s[0]}, [](const Shape& i) { return Shape{i[2], i[1], i[0]}; })};
         }});
    check_op(
        {.op = "permute",
         .shapes = {{{3, 4, 5}}, {{1, 1, 1}}, {{2, 0, 3}}},
         .fn =
             [](const Vars& x) {
                 return permute(x[0], {1, -1, 0});
             },
         .reference = [](const Arrays& x) -> Arrays {
             const Shape s = x[0].shape;
             return {pick(x[0], {s[1], s[2], s[0]}, [](const Shape& i) { return Shape{i[2], i[0], i[1]}; })};
         }});
    CHECK_THROWS_WITH_AS(permute(Tensor::zeros({2, 3}), {0, 0}), "[permute] dimension 0 is named twice",
                         Error);
}

TEST_CASE("slice and select") {
    check_op({.op = "slice",
              .shapes = {{{4, 7}}, {{4, 7, 2}}, {{0, 7}}},
              .fn = [](const Vars& x) -> Vars {
                  return {slice(x[0], 1, 2, 6), slice(x[0], -x[0].rank() + 1, 1, 7, 3), slice(x[0], 1, 3, 3),
                          slice(x[0], 1, 0, 7)};
              },
              .reference = [](const Arrays& x) -> Arrays {
                  const auto part = [&](int64_t begin, int64_t count, int64_t step) {
                      Shape shape = x[0].shape;
                      shape[1] = count;
                      return pick(x[0], shape, [=](Shape i) {
                          i[1] = begin + i[1] * step;
                          return i;
                      });
                  };
                  return {part(2, 4, 1), part(1, 2, 3), part(3, 0, 1), part(0, 7, 1)};
              }});
    check_op({.op = "select",
              .shapes = {{{3, 5}}, {{2, 3, 4}}},
              .fn = [](const Vars& x) { return select(x[0], -1, 2); },
              .reference = [](const Arrays& x) -> Arrays {
                  Shape shape = x[0].shape;
                  shape.erase(shape.rank() - 1);
                  return {pick(x[0], shape, [](Shape i) {
                      i.push_back(2);
                      return i;
                  })};
              }});
    check_op({.op = "slice",
              .shapes = {{{4, 7}}},
              .fn = [](const Vars& x) -> Vars {
                  return {slice(x[0], -1, -5, -1), slice(x[0], 1, 2), slice(x[0], 1, -7, kToEnd, 3),
                          select(x[0], 0, -4)};
              },
              .reference = [](const Arrays& x) -> Arrays {
                  const auto part = [&](int64_t count, int64_t begin, int64_t step) {
                      return pick(x[0], {4, count}, [=](const Shape& i) {
                          return Shape{i[0], begin + i[1] * step};
                      });
                  };
                  return {part(4, 2, 1), part(5, 2, 1), part(3, 0, 3), pick(x[0], {7}, [](const Shape& i) {
                              return Shape{0, i[0]};
                          })};
              }});
    CHECK_THROWS_AS(slice(Tensor::zeros({3}), 0, 2, 4), Error);
    CHECK_THROWS_AS(slice(Tensor::zeros({3}), 0, -1, -2), Error);
    CHECK_THROWS_AS(select(Tensor::zeros({3}), 0, 3), Error);
    CHECK_THROWS_AS(select(Tensor::zeros({3}), 0, -4), Error);
}

TEST_CASE("squeeze, unsqueeze and expand") {
    check_op({.op = "squeeze",
              .shapes = {{{3, 1, 5}}, {{1, 1, 1}}, {{0, 1, 2}}},
              .fn = [](const Vars& x) -> Vars {
                  return {squeeze(x[0], 1), unsqueeze(x[0], -1), unsqueeze(x[0], 0)};
              },
              .reference = [](const Arrays& x) -> Arrays {
                  const Shape s = x[0].shape;
                  Arrays y(3, x[0]);
                  y[0].shape = {s[0], s[2]};
                  y[1].shape = {s[0], 1, s[2], 1};
                  y[2].shape = {1, s[0], 1, s[2]};
                  return y;
              }});
    check_op({.op = "expand",
              .shapes = {{{3, 1, 5}}, {{1, 5}}, {{5}}},
              .fn =
                  [](const Vars& x) {
                      return expand(x[0], {2, 3, 4, -1});
                  },
              .reference = [](const Arrays& x) -> Arrays {
                  return {pick(x[0], {2, 3, 4, 5}, [](const Shape& i) { return i; })};
              },
              .grad_factor = 8});
    CHECK_THROWS_WITH_AS(expand(Tensor::zeros({3}), {4}), "[expand] cannot expand (3,) to (4,)", Error);
    CHECK_THROWS_AS(squeeze(Tensor::zeros({3}), 0), Error);
}

TEST_CASE("concat and stack") {
    for (int dim : {0, 1, -1}) {
        check_op({.op = "concat",
                  .shapes = {{{2, 3, 4}, {2, 3, 4}, {2, 3, 4}}, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
                  .fn = [dim](const Vars& x) { return concat(x, dim); },
                  .reference = [dim](const Arrays& x) -> Arrays {
                      const int d = dim < 0 ? 2 : dim;
                      Shape shape = x[0].shape;
                      shape[d] *= 3;
                      Array y(shape);
                      for_each_index(shape, [&](const Shape& at) {
                          Shape from = at;
                          from[d] = at[d] % x[0].shape[d];
                          y(at) = x[static_cast<size_t>(at[d] / x[0].shape[d])](from);
                      });
                      return {y};
                  }});
        check_op({.op = "stack",
                  .shapes = {{{2, 3}, {2, 3}}, {{1, 1}, {1, 1}}},
                  .fn = [dim](const Vars& x) { return stack(x, dim); },
                  .reference = [dim](const Arrays& x) -> Arrays {
                      const int d = dim < 0 ? 2 : dim;
                      Shape shape = x[0].shape;
                      shape.insert(d, 2);
                      Array y(shape);
                      for_each_index(shape, [&](const Shape& at) {
                          Shape from = at;
                          from.erase(d);
                          y(at) = x[static_cast<size_t>(at[d])](from);
                      });
                      return {y};
                  }});
    }
    const Variable a(Tensor::full({2, 0}, 1, DType::f16), true), b(Tensor::full({2, 3}, 2), true);
    const Variable y = concat({a, b}, 1);
    CHECK(y.dtype() == DType::f32);
    y.backward(Tensor::full({2, 3}, 1));
    CHECK(a.grad().dtype() == DType::f16);
    CHECK(b.grad().to_vector<float>() == std::vector<float>(6, 1));
    CHECK_THROWS_WITH_AS(concat({Tensor::zeros({2, 3}), Tensor::zeros({3, 3})}, 1),
                         "[concat] sizes must be equal but for dimension 1: got (2, 3) and, at 1, (3, 3)",
                         Error);
    CHECK_THROWS_WITH_AS(concat({}, 0), "[concat] needs at least one tensor", Error);
    CHECK_THROWS_AS(stack({Tensor::zeros({2}), Tensor::zeros({3})}, 0), Error);
}

TEST_CASE("split, chunk and unbind") {
    const auto part = [](const Array& x, int64_t begin, int64_t count) {
        Shape shape = x.shape;
        shape[1] = count;
        return pick(x, shape, [=](Shape i) {
            i[1] += begin;
            return i;
        });
    };
    check_op({.op = "split",
              .shapes = {{{3, 6}}, {{2, 6, 3}}, {{0, 6}}},
              .fn =
                  [](const Vars& x) {
                      return split(x[0], {1, 3, 0, 2}, 1);
                  },
              .reference = [part](const Arrays& x) -> Arrays {
                  return {part(x[0], 0, 1), part(x[0], 1, 3), part(x[0], 4, 0), part(x[0], 4, 2)};
              }});
    check_op({.op = "chunk",
              .shapes = {{{3, 6}}, {{2, 6, 3}}},
              .fn = [](const Vars& x) { return chunk(x[0], 3, 1); },
              .reference = [part](const Arrays& x) -> Arrays {
                  return {part(x[0], 0, 2), part(x[0], 2, 2), part(x[0], 4, 2)};
              }});
    check_op({.op = "unbind",
              .shapes = {{{4, 3}}, {{2, 3, 5}}},
              .fn = [](const Vars& x) { return unbind(x[0], 1); },
              .reference = [part](const Arrays& x) -> Arrays {
                  Arrays y;
                  for (int64_t k = 0; k < 3; ++k) {
                      y.push_back(part(x[0], k, 1));
                      y.back().shape.erase(1);
                  }
                  return y;
              }});
    const Tensor x = Tensor::zeros({2, 6});
    CHECK_THROWS_WITH_AS(split(x, {2, 3}, 1), "[split] sizes must add up to 6, dimension 1 of (2, 6): got 5",
                         Error);
    CHECK_THROWS_AS(split(x, {7, -1}, 1), Error);
    CHECK_THROWS_AS(chunk(x, 4, 1), Error);
    CHECK(unbind(Tensor::zeros({0, 2})).empty());
}

TEST_CASE("join returns the buffer in which the pieces lie side by side") {
    const Tensor whole = Tensor::arange(2 * 3 * 4 * 5, DType::f32).view({2, 3, 4, 5});
    for (int dim = 0; dim < 4; ++dim) {
        CAPTURE(dim);
        const int64_t size = whole.size(dim);
        const std::vector<int64_t> sizes{1, size - 1};
        std::vector<Tensor> pieces{whole.slice(dim, 0, 1), whole.slice(dim, 1, size)};
        const Tensor back = join(pieces, sizes, dim, whole.shape());
        CHECK(back.buffer() == whole.buffer());
        CHECK(same_bits(back, whole) == "");
        pieces[0] = pieces[0].clone();
        const Tensor copied = join(pieces, sizes, dim, whole.shape());
        CHECK(copied.buffer() != whole.buffer());
        CHECK(same_bits(copied, whole) == "");
        const Shape pieces_shape = pieces[1].shape();
        pieces[1] = Tensor();
        const Tensor half = join(pieces, sizes, dim, whole.shape());
        CHECK(same_bits(half.slice(dim, 0, 1), whole.slice(dim, 0, 1)) == "");
        CHECK(compare(half.slice(dim, 1, size), Tensor::zeros(pieces_shape), {0, 0}) == "");
    }
    // pieces in another order, overlapping, of a transposed whole
    const std::vector<Tensor> swapped{whole.select(1, 1).unsqueeze(1), whole.select(1, 0).unsqueeze(1)};
    CHECK(join(swapped, {1, 1}, 1, {2, 2, 4, 5}).buffer() != whole.buffer());
    const std::vector<Tensor> off{whole.select(1, 0).unsqueeze(1), whole.select(1, 1).unsqueeze(1),
                                  whole.select(1, 1).unsqueeze(1)};
    const Tensor copied = join(off, {1, 1, 1}, 1, whole.shape());
    CHECK(copied.buffer() != whole.buffer());
    CHECK(same_bits(copied.select(1, 2), whole.select(1, 1)) == "");
    const std::vector<Tensor> same{whole.slice(1, 0, 1), whole.slice(1, 0, 1)};
    const Tensor twice = join(same, {1, 1}, 1, {2, 2, 4, 5});
    CHECK(same_bits(twice.select(1, 1), whole.select(1, 0)) == "");
    const Tensor turned = whole.transpose(1, 3);
    const std::vector<Tensor> parts{turned.slice(3, 0, 2), turned.slice(3, 2, 3)};
    CHECK(join(parts, {2, 1}, 3, turned.shape()).buffer() == whole.buffer());
}

TEST_CASE("cast") {
    const Variable x(Tensor::from(std::vector<float>{1.0001f, -2, 65520}, {3}), true);
    const Variable y = cast(x, DType::f16);
    CHECK(y.value().to_vector<float>() == std::vector<float>{1, -2, INFINITY});
    y.backward(Tensor::full({3}, 0.5, DType::f16));
    CHECK(x.grad().dtype() == DType::f32);
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0.5, 0.5, 0.5});
    CHECK(cast(x, DType::f32).node() == x.node());
    CHECK(!cast(x, DType::i64).requires_grad());
    CHECK(cast(Tensor::arange(3), DType::f64).value().to_vector<double>() == std::vector<double>{0, 1, 2});
    CHECK(!detach(x).requires_grad());
    CHECK(to_device(x, x.device()).node() == x.node());
    CHECK(gradcheck([](const Vars& v) { return cast(cast(v[0], DType::f64), DType::f64); }, {x.value()}) ==
          "");
}

}  // namespace demi::test
