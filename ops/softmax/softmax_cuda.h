#pragma once
// The launches behind softmax and log_softmax; contiguous rows, at least one element.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct SoftmaxCall {
    const void *x, *dy;  // backward: x is the forward's result, dy its gradient
    void* y;             // backward: the gradient of x
    int64_t rows, width;
};
void softmax_forward(DType type, const SoftmaxCall& call, gpu::Stream stream);
void softmax_backward(DType type, const SoftmaxCall& call, gpu::Stream stream);
void log_softmax_forward(DType type, const SoftmaxCall& call, gpu::Stream stream);
void log_softmax_backward(DType type, const SoftmaxCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
