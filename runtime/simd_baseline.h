#pragma once
// simd.h for any other processor: 4 lanes in the compilers' vector extension.

namespace demi::DEMI_BACKEND {

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
using vm = vi;
constexpr int kLanes = 4;
constexpr int kRegisters = 16;

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

DEMI_INLINE vf load_n(const float* p, int n) {
    vf x = zero();
    for (int i = 0; i < n; ++i) x[i] = p[i];
    return x;
}
DEMI_INLINE void store_n(float* p, vf x, int n) {
    for (int i = 0; i < n; ++i) p[i] = x[i];
}

// 16-bit floats, one in each 32-bit lane; the same bits as simd_scalar.h gives.
typedef uint32_t vu __attribute__((vector_size(16)));
typedef uint16_t vh __attribute__((vector_size(8)));

DEMI_INLINE vu choose(vi m, vu yes, vu no) {
    const vu mask = reinterpret_cast<vu>(m);
    return (yes & mask) | (no & ~mask);
}
DEMI_INLINE vf from_f16(vu h) {
    const vu rest = h & 0x7fffu;
    const vi magnitude = reinterpret_cast<vi>(rest);
    // Multiplying by 2^112 moves the exponent to its place and is exact for subnormals too.
    const vf finite = reinterpret_cast<vf>(rest << 13) * 0x1p112f;
    const vu quiet = reinterpret_cast<vu>(magnitude > 0x7c00) & 0x400000u;
    const vu special = rest << 13 | 0x7f800000u | quiet;
    const vu bits = choose(magnitude > 0x7bff, special, reinterpret_cast<vu>(finite));
    return reinterpret_cast<vf>(bits | (h & 0x8000u) << 16);
}
DEMI_INLINE vu to_f16(vf x) {
    const vu u = reinterpret_cast<vu>(x);
    const vu rest = u & 0x7fffffffu;
    const vi magnitude = reinterpret_cast<vi>(rest);
    const vu normal = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13;
    // Below 2^-14: adding 0.5 leaves the subnormal, rounded, in the lowest bits.
    const vu small = reinterpret_cast<vu>(reinterpret_cast<vf>(rest) + 0.5f) - 0x3f000000u;
    const vu infinite = rest - rest + 0x7c00u;
    const vu nan = (rest >> 13 & 0x3ffu) | 0x7e00u;
    const vu half = choose(magnitude < 0x38800000, small, choose(magnitude > 0x477fefff, infinite, normal));
    return choose(magnitude > 0x7f800000, nan, half) | (u >> 16 & 0x8000u);
}
DEMI_INLINE vf from_bf16(vu h) { return reinterpret_cast<vf>(h << 16); }
DEMI_INLINE vu to_bf16(vf x) {
    const vu u = reinterpret_cast<vu>(x);
    const vi magnitude = reinterpret_cast<vi>(u & 0x7fffffffu);
    const vu rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    return choose(magnitude > 0x7f800000, u >> 16 | 0x40u, rounded);
}

DEMI_INLINE vu load_u16(const void* p) {
    vh h;
    __builtin_memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vu);
}
DEMI_INLINE void store_u16(void* p, vu x) {
    const vh h = __builtin_convertvector(x, vh);
    __builtin_memcpy(p, &h, sizeof h);
}
template <class T> DEMI_INLINE vu load_u16_n(const T* p, int n) {
    vu h = {};
    for (int i = 0; i < n; ++i) h[i] = p[i].bits;
    return h;
}
template <class T> DEMI_INLINE void store_u16_n(T* p, vu h, int n) {
    for (int i = 0; i < n; ++i) p[i].bits = static_cast<uint16_t>(h[i]);
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
// x * 2^n for such n.
DEMI_INLINE vf scale_by_power(vf x, vf n) { return x * power_of_two(n); }
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

}  // namespace demi::DEMI_BACKEND
