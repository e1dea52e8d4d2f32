#pragma once
// The launches behind swiglu: rows of x and dx are 2 * half long, those of y and dy half.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct SwigluCall {
    const void *x, *dy;  // dy: backward only
    void* out;           // y, or dx
    int64_t rows, half;
};
void swiglu_forward(gpu::Type type, const SwigluCall& call, gpu::Stream stream);
void swiglu_backward(gpu::Type type, const SwigluCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
