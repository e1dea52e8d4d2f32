#pragma once
// A call of memory_efficient_attention as kernels take it. All data are f64 (log-sum-exp too), or any mixture
// of f32, bf16 and f16 (log-sum-exp f32). Strides count elements; that of the last dimension is 1.
#include "ops/boundary/boundary_kernels.h"
#include "ops/memory_efficient_attention/attention_segment.h"

namespace demi {

// Rows [batch, token, head, :]. `cast` is applied in registers, as they are loaded or stored.
template <class Data> struct AttentionRows {
    Data* data = nullptr;  // null: absent, or not wanted
    int64_t batch = 0, token = 0, head = 0;
    DType dtype = DType::f32;
    Cast cast = {};
    CastCounters* lost = nullptr;  // null: not counted
};
typedef AttentionRows<const void> AttentionOperand;
typedef AttentionRows<void> AttentionResult;

// Added to the scores: [batch, query, head, key], `token` being the stride of queries. A stride is 0 where
// the bias is stretched. sum_*: it has one entry there, so that its gradient sums over the dimension.
struct AttentionBiasOperand : AttentionOperand {
    int64_t key = 1;
    bool sum_batch = false, sum_head = false, sum_query = false, sum_key = false;
};

// Weight (batch, head, query, key) has the word of that index, of the draw: see runtime/random.h.
struct AttentionDropout {
    double probability = 0;
    uint64_t seed = 0, offset = 0;
    const uint64_t* live = nullptr;  // null, or where on the device the offset is to be read
};

struct AttentionCall {
    int64_t batch = 0, heads = 0, queries = 0, keys = 0, head_size = 0, value_size = 0;
    const AttentionSegment* segments = nullptr;  // on the host
    int64_t segment_count = 0;
    AttentionSegment first;  // of the segments
    AttentionOperand q, k, v;
    AttentionBiasOperand bias;
    AttentionDropout dropout;
    double scale_f64 = 1;
    float scale = 1;  // the same
};
// q or k have elements.
struct AttentionForward : AttentionCall {
    AttentionResult out;
    Mem lse;  // [batch, heads, queries] contiguous, natural logarithm
};
// q and k, or v, have elements. Each gradient is complete after the call; that of the bias only where
// scores are.
struct AttentionBackward : AttentionCall {
    AttentionOperand out, grad_out;
    ConstMem lse, grad_lse;  // grad_lse without data: zeros
    // What grad_out is multiplied by as it enters; gradients take it out as they leave.
    float grad_lse_scale = 1;
    AttentionResult grad_q, grad_k, grad_v;
    AttentionResult grad_bias;  // contiguous, in the shape of the bias
};
using AttentionKernels = ForwardBackward<AttentionForward, AttentionBackward>;
DEMI_BACKENDS(AttentionKernels, memory_efficient_attention)

// From this size on a log-sum-exp has lost digits that its weights need: exp(score - lse) is off by 2^-8
// and more.
constexpr float kAttentionOddLse = 0x1p16f;
constexpr double kAttentionOddLseF64 = 0x1p45;

}  // namespace demi
