#pragma once
// Internal: gradients whose parts may leave the range though the result fits, for *_isa.cpp and for *.cu files. Where all
// parts are normal numbers the plain formula stands; elsewhere the same is taken in pieces. *.cu files include gpu.h before.
#ifdef DEMI_ISA_NS
#include "runtime/simd.h"
#define DEMI_ELEMENT DEMI_INLINE
namespace demi::DEMI_ISA_NS {
DEMI_INLINE float pow(float x, float p) { return __builtin_powf(x, p); }
DEMI_INLINE double pow(double x, double p) { return __builtin_pow(x, p); }
DEMI_INLINE float frexp(float x, int* e) { return __builtin_frexpf(x, e); }
DEMI_INLINE double frexp(double x, int* e) { return __builtin_frexp(x, e); }
DEMI_INLINE float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
DEMI_INLINE double ldexp(double x, int e) { return __builtin_ldexp(x, e); }
DEMI_INLINE uint32_t to_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
DEMI_INLINE uint64_t to_bits(double x) { return __builtin_bit_cast(uint64_t, x); }
#else
#define DEMI_ELEMENT DEMI_DEVICE
namespace demi::gpu {
DEMI_DEVICE uint32_t to_bits(float x) { return bit_cast<uint32_t>(x); }
DEMI_DEVICE uint64_t to_bits(double x) { return bit_cast<uint64_t>(x); }
#endif

// 0 for normal numbers; 1 for 0, subnormal numbers, infinity and NaN. Whole numbers as wide as T, so that
// loops vectorise.
DEMI_ELEMENT uint32_t is_special(float x) { return ((to_bits(x) >> 23 & 0xffu) - 1u) < 254u ? 0u : 1u; }
DEMI_ELEMENT uint64_t is_special(double x) { return ((to_bits(x) >> 52 & 0x7ffu) - 1u) < 2046u ? 0u : 1u; }

// 2 a x.
template <class T> DEMI_ELEMENT T square_grad(T a, T x) {
    const T twice = x + x;
    return twice - twice == 0 ? a * twice : (a + a) * x;
}

// -(a b) / c^2.
template <class T> DEMI_ELEMENT T plain_div_grad(T a, T b, T c) { return -(a * b) / (c * c); }
template <class T> DEMI_ELEMENT auto needs_care(T a, T b, T c) {
    return is_special(a * b) | is_special(c * c);
}
template <class T> DEMI_ELEMENT T careful_div_grad(T a, T b, T c) {
    if (!(a - a == 0 && b - b == 0 && c - c == 0)) return plain_div_grad(a, b, c);
    int ea, eb, ec;
    const T x = frexp(a, &ea), y = frexp(b, &eb), z = frexp(c, &ec);
    return ldexp(-(x * y) / (z * z), ea + eb - 2 * ec);
}

template <class T> DEMI_ELEMENT T div_grad(T a, T b, T c) {
    return needs_care(a, b, c) == 0 ? plain_div_grad(a, b, c) : careful_div_grad(a, b, c);
}

// a p x^(p - 1).
template <class T> DEMI_ELEMENT T pow_grad(T a, T x, T p) {
    const T rest = pow(x, p - 1), slope = p * rest;
    if ((is_special(rest) | is_special(slope)) == 0 || x == 0 || !(x - x == 0) || rest != rest)
        return a * slope;
    const T root = pow(x < 0 ? -x : x, (p - 1) / 2), sign = pow(x < 0 ? T(-1) : T(1), p - 1);
    return a == 0 ? a : a * root * p * sign * root;
}

}  // namespace
