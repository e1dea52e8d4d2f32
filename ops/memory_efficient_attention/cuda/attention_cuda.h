#pragma once
// Internal: attention's kernels on the GPU. Two families: tensor cores, for fp16 (also what is rounded to it)
// and bf16 operands with head sizes up to 256; and one warp for a row, right for everything else. The
// segments of these calls lie on the device; where there is only one, kernels take `first`.
#include "ops/memory_efficient_attention/attention_kernels.h"

namespace demi::gpu_kernels {

DEMI_HOST_DEVICE int64_t queries_in(const AttentionSegment& s) { return s.q_end - s.q_begin; }
DEMI_HOST_DEVICE int64_t keys_in(const AttentionSegment& s) { return s.k_end - s.k_begin; }
inline bool wants_rows(const AttentionBackward& c) {
    return c.grad_q.data != nullptr || c.grad_k.data != nullptr || c.grad_v.data != nullptr;
}

// What a query makes of its scores, in double: the largest, the sum of exp(score - top), and (backward) the
// dot: the sum of its weights times their gradients, less the gradient of the log-sum-exp.
struct ExactSums {
    double top, sum, dot;
};
// Of each query [batch, heads, queries], from the queries' kernels for the others. A dot of NaN: `exact` has
// it too, and where its sum is not 0 that counts.
template <class E> struct QuerySums {
    E* dot;
    ExactSums* exact;
};

// ---- one warp for a row
void count_bias(const AttentionForward& call, Queue queue);
void forward_by_rows(const AttentionForward& call, Queue queue);
// The sums, f64 where the call is, are written, and read by the second.
template <class E> void backward_by_rows(const AttentionBackward& call, QuerySums<E> sums, Queue queue);
template <class E> void bias_backward(const AttentionBackward& call, QuerySums<E> sums, Queue queue);

// ---- tensor cores: sizes up to 256, everything fp16-valued or everything bf16
// How the queries or the keys of all segments are cut: tile t of a (batch, head) belongs to the segment s
// with first_tile[s] <= t < first_tile[s + 1]. A segment without rows has one tile all the same, so that its
// other side is counted.
struct AttentionTiles {
    int64_t count = 0;                    // of one (batch, head)
    int32_t rows = 0;                     // of one tile
    const int64_t* first_tile = nullptr;  // segments + 1; null: there is one segment
};
template <class Call> struct AttentionMma {
    Call call;
    AttentionTiles queries, keys;
    bool bf16;
    // Whether eight elements of an operand can be loaded at once (aligned, whole eights).
    struct {
        bool q, k, v, out, grad_out, grad_q, grad_k, grad_v;
    } eights;
    QuerySums<float> sums;  // backward
};
typedef AttentionMma<AttentionForward> MmaForward;
typedef AttentionMma<AttentionBackward> MmaBackward;

template <class Call> struct MmaKernel {
    size_t (*shared)(int64_t size, int rows);  // bytes of shared memory for `rows` rows in a tile
    void (*launch)(const AttentionMma<Call>& m, Queue queue);
};
extern const MmaKernel<AttentionForward> mma_forward;
// The first also fills m.sums, and counts grad_out.
extern const MmaKernel<AttentionBackward> mma_backward_q, mma_backward_kv;
// The same where every query of a segment sees all its keys, without bias and dropout, for head sizes 64 and
// 128, a positive scale and operands (backward: out too) of which eight elements can be loaded at once.
extern const MmaKernel<AttentionForward> unmasked_forward;
extern const MmaKernel<AttentionBackward> unmasked_backward_q, unmasked_backward_kv;

}  // namespace demi::gpu_kernels
