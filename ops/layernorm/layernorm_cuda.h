#pragma once
// The launches behind layernorm; null pointers as undefined tensors in layernorm_kernels.h. At least one
// element. y: the type of y and dy, `type` or a 16-bit one beside f32.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct LayernormForwardCall {
    const void *x, *residual, *weight, *bias;
    void *sum, *y, *stats;
    int64_t rows, width;
    double eps;
};
void layernorm_forward(DType type, DType y, const LayernormForwardCall& call, gpu::Stream stream);

struct LayernormBackwardCall {
    const void *x, *weight, *stats, *dy, *dsum;
    void *dx, *dweight, *dbias;
    void* partial;  // for dweight and dbias: row_blocks(rows).count * 2 * width values in their dtype
    int64_t rows, width;
};
void layernorm_backward(DType type, DType y, const LayernormBackwardCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
