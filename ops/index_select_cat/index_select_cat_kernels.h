#pragma once
// Internal: rows of matrices to a flat tensor and back. The wrapper has checked and allocated everything:
// index lists are contiguous i64 in range, y and the gradients are fresh and contiguous, all on one device.
// Dtypes: all f64, or any mixture of f32, bf16 and f16.
#include "ops/boundary/boundary_kernel.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct IndexSelectCatKernels {
    // y gets every list's rows. casts[i]: how sources[i] crosses. counters: the sum over all sources.
    void (*forward)(const std::vector<Tensor>& sources, const std::vector<Tensor>& indices,
                    const std::vector<Cast>& casts, Tensor& y, CastCounters& counters) = nullptr;
    // grads[i] = zeros, plus the rows of dy (rank 1, any stride) from begins[i] on; undefined ones are left
    // out. Every element of dy crosses as `entry`; a row named once leaves as entry with exit's undo; the f32
    // sum of a row named more often leaves as `exit`.
    void (*backward)(const Tensor& dy, const std::vector<int64_t>& begins, const std::vector<Tensor>& indices,
                     std::vector<Tensor>& grads, const Cast& entry, const Cast& exit, CastCounters& entered,
                     CastCounters& left) = nullptr;
};
DEMI_KERNEL_TABLES(IndexSelectCatKernels, index_select_cat)

}  // namespace demi
