#pragma once
// What the attention kernels are given: plain data on raw pointers, shared by every device and
// instruction set. Strides count elements; the last dimension has stride 1. `batch`, `token` and `head`
// of a stride may be anything.
#include <stdint.h>

#include "ops/boundary/cast.h"

namespace demi {

// How an operand comes in: `cast` is applied as it is loaded, in registers.
struct AttentionOperand {
    const void* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    DType dtype = DType::f32;
    Cast cast = {};
};

// How a result goes out: `cast` is applied as it is stored.
struct AttentionResult {
    void* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    DType dtype = DType::f32;
    Cast cast = {};
};

// A run of queries that sees a run of keys. Query i of the segment sees its keys [i + low, i + high),
// cut to the segment. Every mask is such an interval: causal is high = 1, a window bounds both, none is
// low = -kAttentionNoBound.
constexpr int64_t kAttentionNoBound = int64_t{1} << 40;
struct AttentionSegment {
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
    int64_t low = -kAttentionNoBound, high = kAttentionNoBound;
};

// From this size on a log-sum-exp has lost digits that its weights need: exp(score -
// lse) is off by 2^-8 and more.
constexpr float kAttentionOddLse = 0x1p16f;
constexpr double kAttentionOddLseF64 = 0x1p45;

// Additive bias [batch, head, query, key]; the stride of keys is 1, or 0 as of any dimension that is
// stretched. sum_*: the bias itself has one entry there, so its gradient sums over it.
struct AttentionBiasOperand {
    const void* data = nullptr;
    int64_t batch = 0, head = 0, query = 0, key = 1;
    DType dtype = DType::f32;
    Cast cast = {};
    bool sum_batch = false, sum_head = false, sum_query = false, sum_key = false;
};

// Fills factor[0..n) for the keys key.. of one query: 0 where the weight is dropped, 1 /
// (1 - p) where it is kept.
struct AttentionDropout {
    void (*fill)(const AttentionDropout& self, int64_t batch, int64_t head, int64_t query, int64_t key,
                 int64_t n, float* factor) = nullptr;
    uint64_t seed = 0, offset = 0;
    double probability = 0;
    int64_t heads = 0, queries = 0, keys = 0;
    const uint64_t* live = nullptr;  // null, or where on the device the offset is to be read
};

struct AttentionProblem {
    int64_t batch = 0, heads = 0, queries = 0, keys = 0, head_size = 0, value_size = 0;
    const AttentionSegment* segments = nullptr;
    int64_t segment_count = 0;
    AttentionOperand q, k, v;
    AttentionBiasOperand bias;
    AttentionDropout dropout;
    float scale = 1.f;
    float* lse = nullptr;  // [batch, heads, queries] contiguous, natural logarithm
};

// A row of one segment, batch and head: a query or a key, counted from the segment's start.
struct AttentionPlace {
    int64_t segment, batch, head, row;
};

// What f32 kernels on the CPU ask for where f32 left its range although the operands are finite: answers in
// double. Each does nothing where double has none either.
struct AttentionExact {
    // The result of a query: every element of it, and its log-sum-exp, or (lse null)
    // those that are not finite.
    void (*result)(const AttentionExact& self, const AttentionPlace& query, float* row, float* lse);
    // Weights, after dropout, and gradients of the scores of a query's keys [first, first + count).
    void (*weights)(const AttentionExact& self, const AttentionPlace& query, int64_t first, int64_t count,
                    float* weights, float* grads);
    // Elements that are not finite, in a row of the gradient of q, k or v.
    void (*gradient)(const AttentionExact& self, char operand, const AttentionPlace& at, float* row);
    // The same in what a row of the bias' gradient has for keys [first, first + count); with sum_query,
    // sum_key one row, one number for all.
    void (*bias_gradient)(const AttentionExact& self, const AttentionPlace& query, int64_t first,
                          int64_t count, float* row);
};

struct AttentionForward {
    AttentionResult out;
    const AttentionExact* exact = nullptr;
};

struct AttentionBackward {
    AttentionOperand out, grad_out;
    const float* grad_lse = nullptr;         // null, or [batch, heads, queries] contiguous
    float grad_lse_scale = 1.f;              // what grad_out is multiplied by on entry: the two must agree
    AttentionResult grad_q, grad_k, grad_v;  // data null: not wanted
    AttentionResult grad_bias;               // contiguous, shape of the bias; only data, dtype and cast count
    const AttentionExact* exact = nullptr;
};

}  // namespace demi
