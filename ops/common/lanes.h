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

// sum of body(i, n) over all lanes in use; `body` gives zeros in the others.
template <class F> DEMI_INLINE float sum_lanes(int64_t count, F&& body) {
    vf sum = zero();
    for_lanes(
        count, DEMI_LANES { sum = sum + body(i, n); });
    return hsum(sum);
}

template <class T> DEMI_INLINE float max_lanes(const T* x, int64_t count) {
    vf m = zero() - infinity();
    for_lanes(
        count, DEMI_LANES { m = max(m, only(n, get(x + i, n), m)); });
    return hmax(m);
}

}  // namespace demi::DEMI_ISA_NS
