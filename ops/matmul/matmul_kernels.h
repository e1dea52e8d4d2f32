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

// ---- matrix products of Tensors on the GPU --------------------------------------------------------------
struct BlasExtras {
    Tensor bias;      // added, of out's dtype, contiguous
    Tensor row_sums;  // gets the sums of a's rows over k, of out's dtype
};

// out = a b for matrices of one dtype and any strides; out [m, n] contiguous, of that dtype or f32. False
// where the extras are not to be had: then nothing was done. Products without elements in k give 0.
bool blas_product(const Tensor& a, const Tensor& b, Tensor& out, const BlasExtras& extras = {});

}  // namespace demi
