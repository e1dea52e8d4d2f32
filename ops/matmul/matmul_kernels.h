#pragma once
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct MatmulKernels {
    // out[..., m, n] = a[..., m, k] * b[..., k, n]. All three have the same leading sizes; a and b have one
    // dtype and any strides (0 where they are stretched), out is contiguous, of that dtype or f32. Sums in
    // f32, f64 for f64; one rounding.
    void (*product)(const Tensor& a, const Tensor& b, Tensor& out) = nullptr;
};

DEMI_KERNEL_TABLES(MatmulKernels, matmul)

}  // namespace demi
