#pragma once
// Internal: matrix products of Tensors on the GPU.
#include "runtime/tensor.h"

namespace demi {

struct BlasExtras {
    Tensor bias;      // added, of out's dtype, contiguous
    Tensor row_sums;  // gets the sums of a's rows over k, of out's dtype
};

// out = a b for matrices of one dtype and any strides; out [m, n] contiguous, of that dtype or f32. False
// where the extras are not to be had: then nothing was done. Products without elements in k give 0.
bool blas_product(const Tensor& a, const Tensor& b, Tensor& out, const BlasExtras& extras = {});

}  // namespace demi
