#pragma once
// Rows of contiguous tensors, for kernel files of the CPU: masks, the range of a row, and sums over
// rows straight to [width].
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {

constexpr float kInf = __builtin_inff();

template <class V> DEMI_INLINE auto is_finite(V x) { return less(abs(x), V{} + kInf); }
template <class M> DEMI_INLINE bool all(M m) { return !any(mask_not(m)); }
// Whether all that was added is finite: 0 x is NaN for what is not.
template <class T> struct AllFinite {
    vector_t<T> sum = splat<T>(0);

    DEMI_INLINE void add(vector_t<T> x) { sum = fma(x, splat<T>(0), sum); }
    DEMI_INLINE bool good() const { return all(equal(sum, sum)); }
};
template <class T> DEMI_RARE bool all_finite(const T* x, int64_t width) {
    AllFinite<T> finite;
    for_lanes<T>(width, [&] DEMI_LANES { finite.add(get(x + i, n)); });
    return finite.good();
}

// fn(call, r) for all rows of a call. What it says stays in registers: read through a reference it would be read again
// after every vector stored.
template <class Call, class F> DEMI_INLINE void for_rows(const Call& call, const F& fn) {
    parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
        const Call c = call;
        for (int64_t r = first; r < first + count; ++r) fn(c, r);
    });
}

template <class T> DEMI_INLINE lane_t<T> value_of(const T* x) {
    if constexpr (sizeof(T) == 8)
        return *x;
    else
        return to_float(*x);
}
template <class T> DEMI_INLINE void fill_row(T* y, lane_t<T> value, int64_t width) {
    for_lanes<T>(width, [&] DEMI_LANES { put(y + i, splat<T>(value), n); });
}
// x / by for a whole row: f64 divides, f32 multiplies with the reciprocal.
template <class T> struct DivideBy {
    vector_t<T> factor;

    DEMI_INLINE explicit DivideBy(lane_t<T> by) : factor(splat<T>(sizeof(T) == 8 ? by : 1 / by)) {}
    DEMI_INLINE vector_t<T> operator()(vector_t<T> x) const {
        return sizeof(T) == 8 ? x / factor : x * factor;
    }
};
// Whether the squares of all elements fit, so that none is large: what is cheapest to ask while a row is read. All of f16 do.
template <class T> constexpr bool kSquaresFit = false;
template <> constexpr bool kSquaresFit<Half> = true;
template <class T> struct SquaresFit {
    vector_t<T> sum = splat<T>(0);

    DEMI_INLINE void add(vector_t<T> x) {
        if constexpr (!kSquaresFit<T>) sum = fma(x, x, sum);
    }
    DEMI_INLINE bool good() const { return kSquaresFit<T> || all(is_finite(sum)); }
};
// Of |x|; at least 0.
template <class T> DEMI_INLINE lane_t<T> max_abs(const T* x, int64_t width) {
    vector_t<T> m = splat<T>(0);
    for_lanes<T>(width, [&] DEMI_LANES { m = max(m, abs(get(x + i, n))); });
    return hmax(m);
}

DEMI_INLINE float root(float x) { return __builtin_sqrtf(x); }
DEMI_INLINE double root(double x) { return __builtin_sqrt(x); }
DEMI_INLINE float log_of(float x) { return __builtin_logf(x); }
DEMI_INLINE double log_of(double x) { return __builtin_log(x); }
DEMI_INLINE int exponent_of(float x) { return static_cast<int>(float_to_bits(x) >> 23 & 255u) - 127; }
DEMI_INLINE int exponent_of(double x) {
    return static_cast<int>(__builtin_bit_cast(uint64_t, x) >> 52 & 2047u) - 1023;
}
// Rows whose squares or products leave the range are taken again times 2^e, which brings the largest element near
// 2^target: e within what C holds, 0 for zero and for what is not finite.
template <class C> DEMI_INLINE int balance(C largest, int target) {
    if (!(largest > 0 && largest < kInf)) return 0;
    const int e = target - exponent_of(largest);
    const int least = sizeof(C) == 8 ? -1000 : -126, most = sizeof(C) == 8 ? 1000 : 120;
    return e < least ? least : e > most ? most : e;
}
template <class C> DEMI_INLINE C power_of_two(int e) {
    if constexpr (sizeof(C) == 8)
        return __builtin_bit_cast(double, static_cast<uint64_t>(e + 1023) << 52);
    else
        return bits_to_float(static_cast<uint32_t>(e + 127) << 23);
}

// to = the sum of `count` rows of partial sums, `step` apart, in order.
template <class C>
static __attribute__((noinline)) void sum_partials(const C* partial, int64_t count, int64_t step,
                                                   int64_t width, C* to) {
    for (int64_t i = 0; i < width; ++i) to[i] = 0;
    for (int64_t b = 0; b < count; ++b, partial += step)
        for (int64_t i = 0; i < width; ++i) to[i] += partial[i];
}

// Sums over rows, in an order that depends on the shape only: fixed blocks of rows have partial sums of their own, which
// are added in block order.
// fn(first row, number of rows, sums) adds the rows' share to sums[k], N vectors that start as zeros; outs[k] gets the
// totals, where it is not null.
template <int N, class C, class F>
DEMI_INLINE void sum_rows(int64_t rows, int64_t width, C* const (&outs)[N], Queue queue, const F& fn) {
    const int64_t shared = ceil_div(rows, 64), tile = rows_per_tile(width),
                  per_block = shared > tile ? shared : tile;
    const int64_t blocks = ceil_div(rows, per_block);
    const int64_t step = ceil_div(width, 16) * 16 + 16;  // two blocks never share a cache line
    const size_t bytes = static_cast<size_t>(blocks * N * step) * sizeof(C);
    const Scratch scratch(bytes, queue);
    C* partial = scratch.as<C>();
    __builtin_memset(partial, 0, bytes);
    parallel_for(blocks, [&](int64_t b) {
        C* sums[N];
        for (int k = 0; k < N; ++k) sums[k] = partial + (b * N + k) * step;
        const int64_t begin = b * per_block;
        fn(begin, rows - begin < per_block ? rows - begin : per_block, sums);
    });
    for (int k = 0; k < N; ++k)
        if (outs[k] != nullptr) sum_partials(partial + k * step, blocks, N * step, width, outs[k]);
}

}  // namespace demi::DEMI_BACKEND
