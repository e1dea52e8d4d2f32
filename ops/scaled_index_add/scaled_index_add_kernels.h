#pragma once
// Internal: see scaled_index_add.h. The wrapper has checked and allocated everything: index is contiguous i64
// in range, all on one device. Dtypes: all f64, or any mixture of f32, bf16 and f16. Reductions: fixed order.
#include "ops/boundary/boundary_kernel.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct ScaledIndexAddForward {
    Tensor input, index, source, scaling;  // scaling may be undefined
    float alpha = 1;
    bool in_place = false;  // out is input (contiguous), and rows that are not named stay as they are
    Cast input_cast, source_cast, scaling_cast, result_cast;
    CastCounters input_counters, source_counters, scaling_counters, result_counters;
};

struct ScaledIndexAddBackward {
    Tensor dy, index, source, scaling;  // source only for the gradient of scaling; scaling may be undefined
    float alpha = 1;
    Cast dy_cast, source_cast, scaling_cast, exit_cast;  // exit_cast: the gradient of source
    CastCounters dy_counters, exit_counters;
};

struct ScaledIndexAddKernels {
    // out is fresh and contiguous, or input itself (in_place).
    void (*forward)(ScaledIndexAddForward& call, Tensor& out) = nullptr;
    // grad_source [Bi, M, D], fresh and contiguous, may be undefined. sums [D], f32 (f64 for f64), may be
    // undefined: the gradient of scaling with dy_cast's scale still on it.
    void (*backward)(ScaledIndexAddBackward& call, Tensor& grad_source, Tensor& sums) = nullptr;
};
DEMI_KERNEL_TABLES(ScaledIndexAddKernels, scaled_index_add)

}  // namespace demi
