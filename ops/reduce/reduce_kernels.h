#pragma once
// Internal: the kernels behind every sum and maximum.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct ReduceKernels {
    // out = scale * sum of x * y (of x, where y is undefined) over the dimensions where out has size 1 and x
    // has not. out: contiguous, x's rank. x, y: one shape, any strides and dtypes. Sums in f32 within a block
    // of fixed size, in f64 over blocks; f64 throughout where x or y is f64 (then out is f64 too). Where out
    // is i64, x holds integers or bool, y is undefined and scale 1: exact, wrapping around.
    void (*sum)(Tensor& out, const Tensor& x, const Tensor& y, double scale) = nullptr;
    // x [n, m] contiguous, m >= 1: values [n] of x's dtype, indices [n] i64, the first largest (or smallest)
    // element of every row; NaN comes before all others.
    void (*max)(Tensor& values, Tensor& indices, const Tensor& x, bool smallest) = nullptr;
};
DEMI_KERNEL_TABLES(ReduceKernels, reduce)

}  // namespace demi
