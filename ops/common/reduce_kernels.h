#pragma once
// Internal: the kernels behind every sum and maximum.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct ReduceKernels {
    // out = scale * sum of x * y (of x, where y is undefined) over the dimensions where out has size 1 and x
    // has not. out: contiguous, x's rank. x, y: one shape, any strides and dtypes. Sums in f32 within a block
    // of fixed size, in f64 over blocks; f64 throughout where x or y is f64 (then out is f64 too).
    void (*sum)(Tensor& out, const Tensor& x, const Tensor& y, double scale) = nullptr;
    // x [n, m] contiguous, m >= 1: values [n] of x's dtype, indices [n] i64, the first maximum of every row;
    // NaN counts as the largest.
    void (*max)(Tensor& values, Tensor& indices, const Tensor& x) = nullptr;
};
DEMI_KERNEL_TABLES(ReduceKernels, reduce)

}  // namespace demi
