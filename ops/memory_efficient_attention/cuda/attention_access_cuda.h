#pragma once
// Internal, for .cu files: where rows of attention are, what they see, and their dropout. Shared by
// both families of kernels. Tokens count from the start of the tensors, queries and keys of a segment
// from the segment's start.
#include "ops/boundary/boundary_cuda.h"
#include "ops/memory_efficient_attention/cuda/attention_cuda.h"

// DEMI_CALLED: a device function that stays one, for what is rarely needed in unrolled loops (a template: no
// warning where it is not used). DEMI_OUT_OF_LINE: the same for a template. DEMI_ROLLED: before a
// loop that shall not be unrolled.
#if defined(__CUDACC__)
#define DEMI_ROLLED _Pragma("unroll 1")
#define DEMI_OUT_OF_LINE __device__ __noinline__
#else
#define DEMI_ROLLED
#define DEMI_OUT_OF_LINE inline
#endif
#define DEMI_CALLED template <int kOnce = 0> DEMI_OUT_OF_LINE

namespace demi::gpu_kernels {

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

DEMI_HOST_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
DEMI_HOST_DEVICE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
DEMI_HOST_DEVICE int64_t within(int64_t x, int64_t low, int64_t high) { return least(most(x, low), high); }

struct Range {
    int64_t begin, end;
};

DEMI_DEVICE const AttentionSegment& segment_at(const AttentionCall& call, int64_t s) {
    return call.segment_count == 1 ? call.first : call.segments[s];
}
// The segment that a query, or a key, lies in.
template <bool kKeys>
DEMI_DEVICE const AttentionSegment& segment_of(const AttentionCall& call, int64_t token) {
    const auto ends_behind = [&](int64_t s) {
        return (kKeys ? call.segments[s].k_end : call.segments[s].q_end) > token;
    };
    return segment_at(call, gpu::first_true(call.segment_count - 1, ends_behind));
}

DEMI_DEVICE Range keys_of_query(const AttentionSegment& s, int64_t query) {
    const int64_t begin = within(query + s.low, 0, keys_in(s));
    return {begin, within(query + s.high, begin, keys_in(s))};
}
DEMI_DEVICE Range queries_of_key(const AttentionSegment& s, int64_t key) {
    const int64_t begin = within(key - s.high + 1, 0, queries_in(s));
    return {begin, within(key - s.low + 1, begin, queries_in(s))};
}

// Of a token in the batch and head of a place.
template <class Operand, class Place>
DEMI_DEVICE int64_t row_offset(const Operand& x, const Place& place, int64_t token) {
    return place.batch * x.batch + place.head * x.head + token * x.token;
}
// Row of log-sum-exp, dot and dropout's words.
template <class Place>
DEMI_DEVICE int64_t query_index(const AttentionCall& call, const Place& place, int64_t query_token) {
    return (place.batch * call.heads + place.head) * call.queries + query_token;
}

// An element as it enters, in the type of the arithmetic.
template <class C> DEMI_DEVICE C element(const AttentionOperand& x, int64_t at) {
    const C value = load_as<C>(x.data, at, x.dtype);
    if constexpr (sizeof(C) == sizeof(float))
        if (x.cast.round || x.cast.scale != 1 || x.cast.undo != 1) return cross(value, x.cast);
    return value;
}

template <class C> DEMI_DEVICE void put(const AttentionResult& x, int64_t at, C value, LaneCount& lost) {
    store_one(x.data, at, x.dtype, cross(value, x.cast, lost));
}

// The bias of one score, in powers of two.
template <class C> DEMI_DEVICE C bias_at(const AttentionCall& call, int64_t row, int64_t key_token) {
    return element<C>(call.bias, row + key_token * call.bias.key) * static_cast<C>(kLog2E);
}

template <class C = float, class Call> DEMI_DEVICE const C* lse_of(const Call& call) {
    return static_cast<const C*>(call.lse.data);
}
// Zero where there is none; as it was scaled.
template <class C = float> DEMI_DEVICE C grad_lse_at(const AttentionBackward& call, int64_t index) {
    return call.grad_lse.data == nullptr
               ? C(0)
               : static_cast<const C*>(call.grad_lse.data)[index] * static_cast<C>(call.grad_lse_scale);
}

DEMI_DEVICE bool has_dropout(const AttentionCall& call) { return call.dropout.probability > 0; }
template <class C = float> DEMI_DEVICE C kept_factor(const AttentionCall& call) {
    const double p = call.dropout.probability;
    return p < 1 ? static_cast<C>(1 / (1 - p)) : C(0);
}
DEMI_DEVICE bool keeps(const AttentionDropout& d, uint32_t word) {
    return gpu::to_uniform(word) >= static_cast<float>(d.probability);
}
DEMI_DEVICE uint64_t offset_of(const AttentionDropout& d) { return d.live != nullptr ? *d.live : d.offset; }
// Whether the weight of a query (its index as above) and a key token is kept.
DEMI_DEVICE bool is_kept(const AttentionCall& call, int64_t index, int64_t key_token) {
    const AttentionDropout& d = call.dropout;
    return keeps(d, gpu::philox(d.seed, offset_of(d), static_cast<uint64_t>(index * call.keys + key_token)));
}

DEMI_DEVICE bool is_minus_infinity(float x) { return x == -gpu::infinity(); }
DEMI_DEVICE bool is_minus_infinity(double x) { return x == -static_cast<double>(gpu::infinity()); }

}  // namespace demi::gpu_kernels
