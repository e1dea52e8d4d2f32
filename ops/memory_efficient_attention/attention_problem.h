#pragma once
// What the attention kernels are given: plain data on raw pointers, shared by every device and instruction
// set. Strides count elements; the last dimension has stride 1. `batch`, `token` and `head` of a stride may
// be anything.
#include <stdint.h>

#include "ops/common/boundary_kernel.h"

namespace demi {

// How an operand comes in: `cast` is applied as it is loaded, in registers.
struct AttentionOperand {
    const void* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    Storage storage = Storage::f32;
    Cast cast = {};
};

// How a result goes out: `cast` is applied as it is stored.
struct AttentionResult {
    void* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    Storage storage = Storage::f32;
    Cast cast = {};
};

// A run of queries that sees a run of keys. Query i of the segment sees its keys [i + low, i + high), cut to
// the segment. Every mask is such an interval: causal is high = 1, a window bounds both, none is low =
// -kAttentionNoBound.
constexpr int64_t kAttentionNoBound = int64_t{1} << 40;
struct AttentionSegment {
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
    int64_t low = -kAttentionNoBound, high = kAttentionNoBound;
};

// Additive bias [batch, head, query, key]; the stride of keys is 1, or 0 as of any dimension that is
// stretched. sum_*: the bias itself has one entry there, so its gradient sums over it.
struct AttentionBiasOperand {
    const void* data = nullptr;
    int64_t batch = 0, head = 0, query = 0, key = 1;
    Storage storage = Storage::f32;
    Cast cast = {};
    bool sum_batch = false, sum_head = false, sum_query = false, sum_key = false;
};

// Fills factor[0..n) for the keys key.. of one query: 0 where the weight is dropped, 1 / (1 - p) where it is
// kept.
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

struct AttentionForward {
    AttentionResult out;
};

struct AttentionBackward {
    AttentionOperand out, grad_out;
    const float* grad_lse = nullptr;         // null, or [batch, heads, queries] contiguous
    float grad_lse_scale = 1.f;              // what grad_out is multiplied by on entry: the two must agree
    AttentionResult grad_q, grad_k, grad_v;  // data null: not wanted
    AttentionResult grad_bias;  // contiguous, shape of the bias; only data, storage and cast count
};

}  // namespace demi
