#pragma once
// What kernel files of the CPU (*_cpu.cpp, compiled once per instruction set) are written with. Loops over vectors with a
// masked tail, for any element type T:
//   for_lanes<T>(count, [&] DEMI_LANES { put(y + i, get(x + i, n) * two, n); });
// i is the first element, n the number of lanes in use: a constant but for the tail.
#include "ops/kernel.h"
#include "runtime/parallel.h"
#include "runtime/simd.h"

// For what few rows or vectors need: out of line and short, so that it costs the loops around it nothing.
#define DEMI_RARE static __attribute__((noinline, cold))
#define DEMI_LANES (int64_t i, int n) __attribute__((always_inline))
#define DEMI_SUMS (int64_t i, int n, auto& sum) __attribute__((always_inline))

namespace demi::DEMI_BACKEND {

// fn.operator()<T>() for a floating-point dtype; the wrapper has checked that it is one.
template <class F> DEMI_INLINE void dispatch_float(DType dtype, const F& fn) {
    switch (dtype) {
    case DType::f16: return fn.template operator()<Half>();
    case DType::bf16: return fn.template operator()<BFloat16>();
    case DType::f32: return fn.template operator()<float>();
    default: return fn.template operator()<double>();
    }
}

template <class T> DEMI_INLINE vector_t<T> get(const T* p, int n) {
    return n == kLanesOf<T> ? loadu(p) : load_n(p, n);
}
template <class T> DEMI_INLINE void put(T* p, vector_t<T> x, int n) {
    if (n == kLanesOf<T>)
        storeu(p, x);
    else
        store_n(p, x, n);
}
// x in the lanes in use, `other` in the rest.
DEMI_INLINE vf only(int n, vf x, vf other) { return n == kLanes ? x : select(first_lanes(n), x, other); }
DEMI_INLINE double only(int, double x, double) { return x; }

// All elements from begin to end. The tail's count is written so that the compiler sees it is less than a vector.
template <class T, class F> DEMI_INLINE void for_lanes(int64_t begin, int64_t end, const F& body) {
    const int rest = static_cast<int>((end - begin) & (kLanesOf<T> - 1));
    const int64_t whole = end - rest;
    for (int64_t i = begin; i < whole; i += kLanesOf<T>) body(i, kLanesOf<T>);
    if (rest > 0) body(whole, rest);
}
template <class T, class F> DEMI_INLINE void for_lanes(int64_t count, const F& body) {
    for_lanes<T>(0, count, body);
}

// Blocks that a row is summed in: in f32 within a block and in f64 over blocks, so that long rows of equal terms do not
// drift, within 5e-6 of the sum of |terms|. f64 is added in plain order.
template <class T> constexpr int64_t kSumBlock = 1024;
template <> constexpr int64_t kSumBlock<double> = INT64_MAX;
// N sums over a row: body(i, n, sum) adds to the vectors sum[0..N), and zeros in lanes not in use.
template <class T, int N, class F>
DEMI_INLINE void sums_of_lanes(int64_t count, lane_t<T> (&out)[N], const F& body) {
    double total[N] = {};
    for (int64_t begin = 0;; begin += kSumBlock<T>) {
        const bool last = count - begin <= kSumBlock<T>;
        vector_t<T> sum[N];
#pragma GCC unroll 4
        for (int k = 0; k < N; ++k) sum[k] = splat<T>(0);
        for_lanes<T>(begin, last ? count : begin + kSumBlock<T>, [&] DEMI_LANES { body(i, n, sum); });
#pragma GCC unroll 4
        for (int k = 0; k < N; ++k) out[k] = hsum(sum[k]);
        if (count <= kSumBlock<T>) return;  // what follows waits for the sums, and not for conversions
#pragma GCC unroll 4
        for (int k = 0; k < N; ++k) {
            total[k] += static_cast<double>(out[k]);
            out[k] = static_cast<lane_t<T>>(total[k]);
        }
        if (last) return;
    }
}
// Sum of body(i, n), zeros in lanes not in use.
template <class T, class F> DEMI_INLINE lane_t<T> sum_lanes(int64_t count, const F& body) {
    lane_t<T> out[1];
    sums_of_lanes<T>(count, out, [&] DEMI_SUMS { sum[0] = sum[0] + body(i, n); });
    return out[0];
}

template <class T> DEMI_INLINE lane_t<T> max_lanes(const T* x, int64_t count) {
    vector_t<T> m = splat<T>(-__builtin_inff());
    for_lanes<T>(count, [&] DEMI_LANES { m = max(m, only(n, get(x + i, n), m)); });
    return hmax(m);
}

// Scratch memory for `count` elements, on the stack where they are few.
template <class T, int64_t kFew> class LocalScratch {
  public:
    DEMI_INLINE LocalScratch(int64_t count, Queue queue)
        : memory_(count > kFew ? static_cast<size_t>(count) * sizeof(T) : 0, queue),
          data_(count > kFew ? memory_.as<T>() : reinterpret_cast<T*>(few_)) {}
    DEMI_INLINE ~LocalScratch() {}
    LocalScratch(const LocalScratch&) = delete;
    DEMI_INLINE T* data() const { return data_; }

  private:
    alignas(64) unsigned char few_[static_cast<size_t>(kFew) * sizeof(T)];
    Scratch memory_;
    T* data_;
};

// Rows in one tile: about 32 Ki elements.
DEMI_INLINE int64_t rows_per_tile(int64_t width) {
    const int64_t rows = 32768 / (width > 1 ? width : 1);
    return rows > 1 ? rows : 1;
}
// fn(first row, number of rows) for all tiles of a tensor of rows.
template <class F> DEMI_INLINE void parallel_rows(int64_t rows, int64_t width, const F& fn) {
    parallel_ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
}

}  // namespace demi::DEMI_BACKEND
