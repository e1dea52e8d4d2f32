#pragma once
// The launches behind gelu, silu and relu: one kernel with the function as its parameter.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

enum class ActivationFn { gelu, silu, relu };

struct ActivationCall {
    const void *x, *dy;  // dy: backward only
    void* y;             // backward: dx = dy * slope(x); may be dy itself
    int64_t count;
};
void activation_forward(ActivationFn fn, DType type, const ActivationCall& call, gpu::Stream stream);
void activation_backward(ActivationFn fn, DType type, const ActivationCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
