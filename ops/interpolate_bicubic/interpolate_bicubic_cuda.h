#pragma once
// The launch behind interpolate_bicubic: y [outer, out, inner] = taps x [outer, in, inner], f32 or f64. Row i
// of the taps is index/weight[start[i] .. start[i + 1]); the lists are on the device.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct TapsCall {
    const void* x;
    void* y;
    const int64_t *start, *index;
    const double* weight;
    int64_t outer, in, out, inner;
};
void apply_taps(DType type, const TapsCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
