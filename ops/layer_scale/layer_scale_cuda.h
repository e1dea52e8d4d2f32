#pragma once
// The launches behind layer_scale; null pointers as undefined tensors in layer_scale_kernels.h.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct LayerScaleForwardCall {
    const void *x, *gamma, *residual;
    void* y;
    int64_t rows, width;
};
struct LayerScaleBackwardCall {
    const void *x, *gamma, *dy;
    void *dx, *dgamma;
    void* partial;  // for dgamma: row_blocks(rows).count * width values in its dtype
    int64_t rows, width;
};
void layer_scale_forward(DType type, const LayerScaleForwardCall& call, gpu::Stream stream);
void layer_scale_backward(DType type, const LayerScaleBackwardCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
