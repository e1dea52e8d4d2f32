#pragma once
// Internal: merge_attentions' kernels: one warp for a row.
#include <cstdint>

#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct MergePart {
    const void *out, *lse;
    void *grad_out, *grad_lse;  // null: not wanted
};

struct MergeJob {
    int64_t batch, tokens, heads, size, count;
    const MergePart* parts;       // on the device, `count` of them
    void *out, *lse;              // forward: written
    const void *grad, *grad_lse;  // backward; null: zeros
    DType type;
};
void launch_merge(const MergeJob& job, gpu::Stream stream);
void launch_merge_backward(const MergeJob& job, gpu::Stream stream);

}  // namespace demi::gpu_kernels
