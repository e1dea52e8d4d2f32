#pragma once
// The launch behind linear where the product's own epilogue adds no bias.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

// y [rows, width] of `type` = x + bias [width] of `type`, rounded once; x in f32 (f64 for f64), may be y.
struct AddBiasCall {
    const void *x, *bias;
    void* y;
    int64_t rows, width;
};
void add_bias(gpu::Type type, const AddBiasCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
