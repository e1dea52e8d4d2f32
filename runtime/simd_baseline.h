#pragma once
// simd.h for any processor: 4 lanes in the compilers' vector extension; 16-bit floats convert one by one.

namespace demi::DEMI_ISA_NS {

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
using vm = vi;
constexpr int kLanes = 4;

DEMI_INLINE vf zero() { return vf{0, 0, 0, 0}; }
DEMI_INLINE vf broadcast(float x) { return vf{x, x, x, x}; }
DEMI_INLINE vf lane_ids() { return vf{0, 1, 2, 3}; }
DEMI_INLINE vm first_lanes(int n) { return vi{0, 1, 2, 3} < vi{n, n, n, n}; }

DEMI_INLINE vf load(const float* p) { return *reinterpret_cast<const vf*>(__builtin_assume_aligned(p, 16)); }
DEMI_INLINE vf loadu(const float* p) {
    vf x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}
DEMI_INLINE void store(float* p, vf x) { __builtin_memcpy(__builtin_assume_aligned(p, 16), &x, sizeof x); }
DEMI_INLINE void storeu(float* p, vf x) { __builtin_memcpy(p, &x, sizeof x); }

template <class T> DEMI_INLINE vf load_lanes(const T* p, int n) {
    vf x = zero();
    for (int i = 0; i < n; ++i) x[i] = to_float(p[i]);
    return x;
}
template <class T> DEMI_INLINE void store_lanes(T* p, vf x, int n) {
    for (int i = 0; i < n; ++i) from_float(x[i], p + i);
}
DEMI_INLINE vf load_n(const float* p, int n) { return load_lanes(p, n); }
DEMI_INLINE vf load_n(const f16_t* p, int n) { return load_lanes(p, n); }
DEMI_INLINE vf load_n(const bf16_t* p, int n) { return load_lanes(p, n); }
DEMI_INLINE vf loadu(const f16_t* p) { return load_lanes(p, 4); }
DEMI_INLINE vf loadu(const bf16_t* p) { return load_lanes(p, 4); }
DEMI_INLINE void store_n(float* p, vf x, int n) { store_lanes(p, x, n); }
DEMI_INLINE void store_n(f16_t* p, vf x, int n) { store_lanes(p, x, n); }
DEMI_INLINE void store_n(bf16_t* p, vf x, int n) { store_lanes(p, x, n); }
DEMI_INLINE void storeu(f16_t* p, vf x) { store_lanes(p, x, 4); }
DEMI_INLINE void storeu(bf16_t* p, vf x) { store_lanes(p, x, 4); }

DEMI_INLINE vf round_f16(vf x) {
    f16_t h[4];
    storeu(h, x);
    return loadu(h);
}
DEMI_INLINE vf round_bf16(vf x) {
    bf16_t h[4];
    storeu(h, x);
    return loadu(h);
}

DEMI_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }
DEMI_INLINE vf fnma(vf a, vf b, vf c) { return c - a * b; }
DEMI_INLINE vf select(vm m, vf yes, vf no) {
    return __builtin_bit_cast(vf, (__builtin_bit_cast(vi, yes) & m) | (__builtin_bit_cast(vi, no) & ~m));
}
// Like the processor's own instructions, min and max give b where one operand is NaN.
DEMI_INLINE vf min(vf a, vf b) { return select(a < b, a, b); }
DEMI_INLINE vf max(vf a, vf b) { return select(a > b, a, b); }
DEMI_INLINE vf sqrt(vf a) {
    for (int i = 0; i < 4; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
DEMI_INLINE vf abs(vf a) {
    const int32_t rest = 0x7fffffff;
    return __builtin_bit_cast(vf, __builtin_bit_cast(vi, a) & vi{rest, rest, rest, rest});
}

DEMI_INLINE vm less(vf a, vf b) { return a < b; }
DEMI_INLINE vm less_equal(vf a, vf b) { return a <= b; }
DEMI_INLINE vm equal(vf a, vf b) { return a == b; }
DEMI_INLINE vm mask_and(vm a, vm b) { return a & b; }
DEMI_INLINE vm mask_or(vm a, vm b) { return a | b; }
DEMI_INLINE vm mask_not(vm a) { return ~a; }
DEMI_INLINE bool any(vm m) { return (m[0] | m[1] | m[2] | m[3]) != 0; }

DEMI_INLINE vf exponent_bits(vi n) { return __builtin_bit_cast(vf, (n + vi{127, 127, 127, 127}) << 23); }
// 2^n for whole n in [-126, 127].
DEMI_INLINE vf power_of_two(vf n) { return exponent_bits(__builtin_convertvector(n, vi)); }
// x * 2^n for whole n in [-252, 254]: exact, or correctly rounded where the result is subnormal.
DEMI_INLINE vf scale_by_exponent(vf x, vf n) {
    const vi k = __builtin_convertvector(n, vi);
    const vi first = k >> 1;
    return x * exponent_bits(first) * exponent_bits(k - first);
}

DEMI_INLINE float hsum(vf x) { return (x[0] + x[2]) + (x[1] + x[3]); }
DEMI_INLINE float hmax(vf x) {
    const float a = x[0] > x[2] ? x[0] : x[2];
    const float b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}

}  // namespace demi::DEMI_ISA_NS
