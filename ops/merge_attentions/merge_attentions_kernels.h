#pragma once
// All tensors are contiguous; every out has one shape and dtype, every log-sum-exp the dtype that out's
// arithmetic has.
#include "runtime/backends.h"
#include "runtime/cuda/gpu_types.h"

namespace demi {

struct MergePart {
    const void *out, *lse;
    void *grad_out, *grad_lse;  // null: not wanted
};

struct MergeParts {
    const MergePart* parts;  // in the device's memory
    int64_t count;
    int64_t batch, tokens, heads, size;

    // A row is a (batch, token, head): `size` elements of out, one log-sum-exp.
    DEMI_HOST_DEVICE int64_t rows() const { return batch * tokens * heads; }
    DEMI_HOST_DEVICE int64_t lse_index(int64_t row) const {
        const int64_t h = row % heads, t = row / heads % tokens, b = row / heads / tokens;
        return (b * heads + h) * tokens + t;
    }
};

struct MergeAttentionsForward {
    MergeParts in;
    Mem out, lse;
};
struct MergeAttentionsBackward {
    MergeParts in;
    ConstMem out, lse, grad, grad_lse;  // grad or grad_lse without data: zeros
};
using MergeAttentionsKernels = ForwardBackward<MergeAttentionsForward, MergeAttentionsBackward>;
DEMI_BACKENDS(MergeAttentionsKernels, merge_attentions)

}  // namespace demi
