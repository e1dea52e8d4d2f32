#pragma once
// Internal: one checked call of attention on Tensors.
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/op.h"
#include "runtime/capture.h"

namespace demi {

struct AttentionPlan {
    Tensor q, k, v;  // rank 4, unit last strides
    Tensor bias;     // undefined, or [B or 1, H or 1, Mq or 1, Mk or 1], unit last stride
    std::vector<AttentionSegment> segments;
    double scale = 1, dropout = 0;
    LiveDraw draw;  // of the dropout
    Boundary boundary;
};
AttentionPlan make_plan(const Op& op, const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionBias& bias, const AttentionOptions& options);

// Kernels read rows of the last dimension at once.
Tensor with_unit_stride(const Tensor& x);

}  // namespace demi
