#pragma once
// The launches behind l2_normalize; contiguous rows, at least one element.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct L2NormalizeForwardCall {
    const void* x;
    void *y, *norms;
    int64_t rows, width;
    double eps;
};
struct L2NormalizeBackwardCall {
    const void *x, *norms, *dy;
    void* dx;
    int64_t rows, width;
    double eps;
};
void l2_normalize_forward(DType type, const L2NormalizeForwardCall& call, gpu::Stream stream);
void l2_normalize_backward(DType type, const L2NormalizeBackwardCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
