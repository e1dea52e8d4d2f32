#pragma once
// Internal, for .cu files: one query of attention and its keys, a score at a time, for any size, dtype and mask.
#include "ops/memory_efficient_attention/cuda/attention_access_cuda.h"

namespace demi::gpu_kernels {

// One query, or one key, of one batch and head.
struct Row {
    int64_t batch, head, token;
    DEMI_DEVICE Row(int64_t b, int64_t h, int64_t t) : batch(b), head(h), token(t) {}
    DEMI_DEVICE Row(const AttentionCall& call, int64_t tokens, int64_t index)
        : Row(index / tokens / call.heads, index / tokens % call.heads, index % tokens) {}
};

// C: the type of the arithmetic; E: double where operands are f64, else float.
template <class C, class Call, class E = C> struct Query {
    const Call& call;
    const AttentionSegment& segment;
    int64_t index, q, bias;  // of the row, of its first element, of its bias
    int64_t batch, head, token;
    Range keys;

    DEMI_DEVICE Query(const Call& c, const Row& row)
        : call(c), segment(segment_of<false>(c, row.token)),
          index(query_index(c, row.batch, row.head, row.token)),
          q(row_offset(c.q, row.batch, row.head, row.token)),
          bias(bias_offset(c, row.batch, row.head, row.token)), batch(row.batch), head(row.head),
          token(row.token), keys(keys_of_query(segment, row.token - segment.q_begin)) {}

    DEMI_DEVICE Row row() const { return {batch, head, token}; }
    DEMI_DEVICE int64_t key_token(int64_t key) const { return segment.k_begin + key; }
    DEMI_DEVICE C product(const AttentionOperand& a, int64_t row, const AttentionOperand& b, int64_t key,
                          int64_t size) const {
        const int64_t other = row_offset(b, batch, head, key_token(key));
        C sum = 0;
        for (int64_t c = 0; c < size; ++c)
            sum = gpu::fma(static_cast<C>(element<E>(a, row + c)), static_cast<C>(element<E>(b, other + c)),
                           sum);
        return sum;
    }
    // In powers of two.
    DEMI_DEVICE C score(int64_t key) const {
        const C sum =
            product(call.q, q, call.k, key, call.head_size) * static_cast<C>(call.scale_f64 * kLog2E);
        return call.bias.data != nullptr ? sum + bias_at<C>(call, bias, key_token(key)) : sum;
    }
    DEMI_DEVICE C dropout(int64_t key) const {
        if (!has_dropout(call)) return 1;
        return is_kept(call, index, key_token(key)) ? kept_factor<C>(call) : C(0);
    }
    DEMI_DEVICE C grad_weight(int64_t key) const {
        return product(call.grad_out, row_offset(call.grad_out, batch, head, token), call.v, key,
                       call.value_size);
    }
    DEMI_DEVICE E lse() const { return lse_of<E>(call)[index]; }
    DEMI_DEVICE bool saw_nothing() const { return is_minus_infinity(lse()); }
    DEMI_DEVICE C weight(int64_t key) const {
        return gpu::exp2(score(key) - static_cast<C>(static_cast<double>(lse()) * kLog2E));
    }
};

}  // namespace demi::gpu_kernels
