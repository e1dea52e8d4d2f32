#pragma once
// The attention kernels of one device, on Tensors. The op has checked shapes, dtypes and strides (the last
// one is 1).
#include <vector>

#include "ops/memory_efficient_attention/attention_kernels.h"
#include "runtime/capture.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct AttentionArguments {
    Tensor q, k, v;  // [B, Mq, H, K], [B, Mk, H, K], [B, Mk, H, Kv]: all f64, or any mixture of the others
    Tensor bias;     // undefined, or [B or 1, H or 1, Mq or 1, Mk or 1] of the same family, unit last stride
    std::vector<AttentionSegment> segments;
    double scale = 1;
    double dropout = 0;
    LiveDraw draw;  // of the dropout
    Cast cast_q, cast_k, cast_v, cast_bias, cast_out;
};

// Each gradient is written where its Tensor is defined. All have the values' shapes, with unit last strides.
struct AttentionGradients {
    Tensor q, k, v;
    Tensor bias;  // contiguous
    Cast cast_q, cast_k, cast_v, cast_bias;
};

struct AttentionIncoming {
    Tensor out, lse;           // what forward gave
    Tensor grad_out;           // [B, Mq, H, Kv]
    Tensor grad_lse;           // undefined, or [B, H, Mq]
    Cast cast_grad_out;        // its scale is still in the gradients: their casts take it out
    float grad_lse_scale = 1;  // the same scale for grad_lse
};

struct MemoryEfficientAttentionKernels {
    // Called where q or k have elements. out [B, Mq, H, Kv]; lse [B, H, Mq] contiguous, f32 (f64 for f64).
    // Counters may be null.
    void (*forward)(const AttentionArguments&, Tensor out, Tensor lse, AttentionForwardCounters*);
    // Called where q and k, or v, have elements; for the bias only where it sees some.
    void (*backward)(const AttentionArguments&, const AttentionIncoming&, const AttentionGradients&,
                     AttentionBackwardCounters*);
};

DEMI_KERNEL_TABLES(MemoryEfficientAttentionKernels, memory_efficient_attention)

}  // namespace demi
