#pragma once
// Internal, for reduce_cpu.cpp: sums and maxima of contiguous rows, in an order that the instruction set does not change.
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// Independent sums, whatever the instruction set: the order of additions is the same.
constexpr int kSums = 32;

// What T is added in: overflow of a signed integer is undefined.
template <class T> struct Adds { using type = T; };
template <> struct Adds<int64_t> { using type = uint64_t; };
template <class T> using adds_t = typename Adds<T>::type;

template <class T> T sum_row(const T* x, int64_t count) {
    adds_t<T> sums[kSums] = {};
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums)
        for (int k = 0; k < kSums; ++k) sums[k] += static_cast<adds_t<T>>(x[i + k]);
    for (int k = 0; i + k < count; ++k) sums[k] += static_cast<adds_t<T>>(x[i + k]);
    for (int half = kSums / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
    return static_cast<T>(sums[0]);
}

template <class T> constexpr T kNan = static_cast<T>(__builtin_nanf(""));
template <> constexpr int64_t kNan<int64_t> = 0;  // not used

template <class T> T max_row(const T* x, int64_t count) {
    T best[kSums];
    bool nan = false;
    for (int k = 0; k < kSums; ++k) best[k] = x[0];
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums) {
        int bad = 0;
        for (int k = 0; k < kSums; ++k) {
            best[k] = x[i + k] > best[k] ? x[i + k] : best[k];
            bad |= !(x[i + k] == x[i + k]);
        }
        nan = nan || bad != 0;
    }
    for (; i < count; ++i) {
        best[0] = x[i] > best[0] ? x[i] : best[0];
        nan = nan || !(x[i] == x[i]);
    }
    if (nan) return kNan<T>;
    for (int half = kSums / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) best[k] = best[k] > best[k + half] ? best[k] : best[k + half];
    return best[0];
}

template <class T> void multiply_row(T* out, const T* a, const T* b, int64_t count) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) out[i] = a[i] * b[i];
}

template <class T> void add_four(T* acc, const T* const* x, int64_t count) {
    using A = adds_t<T>;
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i)
        acc[i] = static_cast<T>(static_cast<A>(acc[i]) + ((static_cast<A>(x0[i]) + static_cast<A>(x1[i])) +
                                                          (static_cast<A>(x2[i]) + static_cast<A>(x3[i]))));
}

template <class T> void add_one(T* acc, const T* x, int64_t count) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i)
        acc[i] = static_cast<T>(static_cast<adds_t<T>>(acc[i]) + static_cast<adds_t<T>>(x[i]));
}

}  // namespace
}  // namespace demi::DEMI_BACKEND
