#pragma once
// Loops over vectors with a masked tail, for *_isa.cpp files:
//   for_lanes(count, DEMI_LANES { put(y + i, get(x + i, n) * two, n); });
// i is the first element, n the number of lanes in use: a constant kLanes but for the tail.
#include "runtime/simd.h"

#define DEMI_LANES [&](int64_t i, int n) __attribute__((always_inline))

namespace demi::DEMI_ISA_NS {

template <class T> DEMI_INLINE vf get(const T* p, int n) { return n == kLanes ? loadu(p) : load_n(p, n); }
template <class T> DEMI_INLINE void put(T* p, vf x, int n) {
    if (n == kLanes)
        storeu(p, x);
    else
        store_n(p, x, n);
}
// x in the lanes in use, `other` in the rest.
DEMI_INLINE vf only(int n, vf x, vf other) { return n == kLanes ? x : select(first_lanes(n), x, other); }

template <class F> DEMI_INLINE void for_lanes(int64_t count, F&& body) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
    if (i < count) body(i, static_cast<int>(count - i));
}

// sum of body(i, n) over all lanes in use; `body` gives zeros in the others. Added in f32 in blocks and in
// f64 over blocks, so that long rows of equal terms do not drift: within 5e-6 of the sum of |terms|.
constexpr int64_t kSumBlock = 1024;
template <class F> DEMI_INLINE float sum_lanes(int64_t count, F&& body) {
    double total = 0;
    for (int64_t at = 0; at < count; at += kSumBlock) {
        vf sum = zero();
        for_lanes(
            count - at < kSumBlock ? count - at : kSumBlock, DEMI_LANES { sum = sum + body(at + i, n); });
        total += static_cast<double>(hsum(sum));
    }
    return static_cast<float>(total);
}

template <class T> DEMI_INLINE float max_lanes(const T* x, int64_t count) {
    vf m = zero() - infinity();
    for_lanes(
        count, DEMI_LANES { m = max(m, only(n, get(x + i, n), m)); });
    return hmax(m);
}
// Of |x|; at least 0.
template <class T> DEMI_INLINE float max_abs(const T* x, int64_t count) {
    vf m = zero();
    for_lanes(
        count, DEMI_LANES { m = max(m, abs(get(x + i, n))); });
    return hmax(m);
}

// Rows whose squares or products leave the range are taken again times 2^e, which brings the largest element
// near 2^target: e within [-126, 120], 0 for zero and for what is not finite.
DEMI_INLINE int balance(float largest, int target) {
    if (!(largest > 0 && largest < __builtin_inff())) return 0;
    const int e = target - (static_cast<int>(float_to_bits(largest) >> 23) - 127);
    return e < -126 ? -126 : e > 120 ? 120 : e;
}
DEMI_INLINE float power_of_two(int e) { return bits_to_float(static_cast<uint32_t>(e + 127) << 23); }

DEMI_INLINE vm all_lanes() { return equal(zero(), zero()); }
DEMI_INLINE vm is_finite(vf x) { return less(abs(x), infinity()); }
DEMI_INLINE bool all(vm m) { return !any(mask_not(m)); }

}  // namespace demi::DEMI_ISA_NS
