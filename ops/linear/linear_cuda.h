#pragma once
// Launches around linear's products.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

// A layer's parameters from f32 to the 16-bit `type`; bias may be null.
struct NarrowCall {
    const void *weight, *bias;
    void *weight_out, *bias_out;
    int64_t weights, biases;
};
void narrow(DType type, const NarrowCall& call, gpu::Stream stream);

// Where the product's own epilogue adds no bias: y [rows, width] of `type` = x + bias [width] of `type`,
// rounded once; x in f32 (f64 for f64), may be y.
struct AddBiasCall {
    const void *x, *bias;
    void* y;
    int64_t rows, width;
};
void add_bias(DType type, const AddBiasCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
