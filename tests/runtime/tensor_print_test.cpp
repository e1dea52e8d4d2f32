// What a printed Tensor looks like. The layouts are those that PyTorch's documentation shows.
#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "runtime/tensor.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

namespace {

Tensor floats(const std::vector<double>& values, const Shape& shape) { return Tensor::from(values, shape); }

}  // namespace

TEST_CASE("print: values, then dtype, shape and device") {
    CHECK(printed(floats({1, 2, 3, 4}, {2, 2})) ==
          "tensor([[1., 2.],\n        [3., 4.]], f64 (2, 2) on cpu)");
    CHECK(printed(floats({0.5, -12.25}, {2})) == "tensor([  0.5000, -12.2500], f64 (2,) on cpu)");
    CHECK(printed(floats({1e-5, 1}, {2})) == "tensor([1.0000e-05, 1.0000e+00], f64 (2,) on cpu)");
    CHECK(printed(floats({0.25, 250.5}, {2})) == "tensor([2.5000e-01, 2.5050e+02], f64 (2,) on cpu)");
    CHECK(printed(floats({NAN, -HUGE_VAL, 1}, {3})) == "tensor([ nan, -inf,   1.], f64 (3,) on cpu)");
    CHECK(printed(Tensor::full({}, 3.14159)) == "tensor(3.1416, f32 () on cpu)");
    CHECK(printed(Tensor::full({}, 1.5, DType::bf16)) == "tensor(1.5000, bf16 () on cpu)");
    CHECK(printed(Tensor::from(std::vector<int64_t>{INT64_MAX, -1}, {2})) ==
          "tensor([9223372036854775807,                  -1], i64 (2,) on cpu)");
    CHECK(printed(Tensor::from(std::vector<bool>{true, false}, {1, 2})) ==
          "tensor([[ true, false]], bool (1, 2) on cpu)");
    CHECK(printed(Tensor::zeros({0, 3})) == "tensor([], f32 (0, 3) on cpu)");
    CHECK(printed(Tensor()) == "tensor(undefined)");
    CHECK(printed(Tensor::arange(4).view({2, 1, 2})) ==
          "tensor([[[0, 1]],\n\n        [[2, 3]]], i64 (2, 1, 2) on cpu)");
    CHECK(printed(Tensor::arange(6).view({2, 3}).transpose(0, 1).slice(0, 1)) ==
          "tensor([[1, 4],\n        [2, 5]], i64 (2, 2) on cpu)");
}

TEST_CASE("print: of many values the edges, of huge views too; long rows are wrapped") {
    CHECK(printed(Tensor::arange(1001)) ==
          "tensor([   0,    1,    2, ...,  998,  999, 1000], i64 (1001,) on cpu)");
    CHECK(printed(Tensor::arange(2000).view({1000, 2})) ==
          "tensor([[   0,    1],\n        [   2,    3],\n        [   4,    5],\n        ...,\n"
          "        [1994, 1995],\n        [1996, 1997],\n        [1998, 1999]], i64 (1000, 2) on cpu)");
    CHECK(has(printed(Tensor::ones({1, 1}).expand({INT64_C(1) << 30, INT64_C(1) << 30})),
              "[[1., 1., 1., ..., 1., 1., 1.],\n"));
    const std::string all = printed(Tensor::arange(1000));
    CHECK(has(all, "497, 498, 499"));
    CHECK_FALSE(has(all, "..."));
    std::istringstream lines(all);
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() <= 80 + sizeof("], i64 (1000,) on cpu)"));
        CHECK(has(line, line[0] == 't' ? "tensor([  0," : "        "));
    }
}

TEST_CASE("print: messages say what a tensor is, not what it holds") {
    const Tensor t = Tensor::zeros({2, 3});
    CHECK(describe(t) == "f32 (2, 3) on cpu");
    CHECK(error_of([&] { fail("op", "got ", t, " and ", Tensor()); }) ==
          "[op] got f32 (2, 3) on cpu and an undefined tensor");
}
