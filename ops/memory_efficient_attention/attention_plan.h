#pragma once
// Internal: one checked call of attention, and running it across the fp16 boundary.
#include "ops/boundary/crossing.h"
#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

namespace demi {

struct AttentionPlan {
    Tensor q, k, v, bias;  // rank 4, unit last strides; bias may be undefined
    DType grad_k = DType::f32, grad_v = DType::f32, grad_bias = DType::f32;  // as kernels write them
    std::vector<AttentionSegment> segments;
    double scale = 1, dropout = 0;
    LiveDraw draw;  // of the dropout
    Boundary boundary;
};

struct AttentionValues {
    Tensor out, lse;
};
// Operands come in their own dtypes; afterwards the plan holds them as the kernels read them, for backward.
AttentionValues run_attention(AttentionPlan& plan);

struct AttentionWants {
    bool q = false, k = false, v = false, bias = false;
};
// grad_lse may be undefined. Gradients have the dtypes that the plan says; those of adjacent
// slices of one packed qkv tensor are slices of one buffer again, so that whoever unpacked qkv has
// its gradient without a copy.
AttentionGradients run_attention_backward(const AttentionPlan& plan, const AttentionValues& values,
                                          const Tensor& grad_out, const Tensor& grad_lse,
                                          const AttentionWants& wants);

}  // namespace demi
