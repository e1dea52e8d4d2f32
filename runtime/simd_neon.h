#pragma once
// simd.h for 64-bit ARM, every processor of which has NEON: 4 lanes.
#include <arm_neon.h>

namespace demi::DEMI_BACKEND {

using vf = float32x4_t;
using vm = uint32x4_t;
constexpr int kLanes = 4;
constexpr int kRegisters = 32;

DEMI_INLINE vf zero() { return vdupq_n_f32(0); }
DEMI_INLINE vf broadcast(float x) { return vdupq_n_f32(x); }
DEMI_INLINE vf lane_ids() { return vf{0, 1, 2, 3}; }
DEMI_INLINE vm first_lanes(int n) { return vcltq_s32(int32x4_t{0, 1, 2, 3}, vdupq_n_s32(n)); }

DEMI_INLINE vf load(const float* p) { return vld1q_f32(p); }
DEMI_INLINE vf loadu(const float* p) { return vld1q_f32(p); }
DEMI_INLINE void store(float* p, vf x) { vst1q_f32(p, x); }
DEMI_INLINE void storeu(float* p, vf x) { vst1q_f32(p, x); }

// 16-bit floats; the conversions of a processor are those of simd_scalar.h, NaN included.
DEMI_INLINE vf from_f16(uint16x4_t h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
DEMI_INLINE uint16x4_t to_f16(vf x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }
DEMI_INLINE vf from_bf16(uint16x4_t h) { return vreinterpretq_f32_u32(vshll_n_u16(h, 16)); }
DEMI_INLINE uint16x4_t to_bf16(vf x) {
    const uint32x4_t u = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}
DEMI_INLINE uint16x4_t load_u16(const void* p) {
    uint16x4_t h;
    __builtin_memcpy(&h, p, sizeof h);
    return h;
}
DEMI_INLINE void store_u16(void* p, uint16x4_t h) { __builtin_memcpy(p, &h, sizeof h); }
DEMI_INLINE uint16x4_t load_u16_n(const void* p, int n) {
    uint16_t some[4] = {};
    __builtin_memcpy(some, p, static_cast<size_t>(n) * 2);
    return load_u16(some);
}
DEMI_INLINE void store_u16_n(void* p, uint16x4_t h, int n) {
    uint16_t some[4];
    store_u16(some, h);
    __builtin_memcpy(p, some, static_cast<size_t>(n) * 2);
}

DEMI_INLINE vf load_n(const float* p, int n) {
    float some[4] = {};
    __builtin_memcpy(some, p, static_cast<size_t>(n) * sizeof(float));
    return loadu(some);
}
DEMI_INLINE void store_n(float* p, vf x, int n) {
    float some[4];
    storeu(some, x);
    __builtin_memcpy(p, some, static_cast<size_t>(n) * sizeof(float));
}

DEMI_INLINE vf fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
DEMI_INLINE vf fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
DEMI_INLINE vf select(vm m, vf yes, vf no) { return vbslq_f32(m, yes, no); }
// As on x86, min and max give b where one operand is NaN.
DEMI_INLINE vf min(vf a, vf b) { return select(vcltq_f32(a, b), a, b); }
DEMI_INLINE vf max(vf a, vf b) { return select(vcgtq_f32(a, b), a, b); }
DEMI_INLINE vf sqrt(vf a) { return vsqrtq_f32(a); }
DEMI_INLINE vf abs(vf a) { return vabsq_f32(a); }

DEMI_INLINE vm less(vf a, vf b) { return vcltq_f32(a, b); }
DEMI_INLINE vm less_equal(vf a, vf b) { return vcleq_f32(a, b); }
DEMI_INLINE vm equal(vf a, vf b) { return vceqq_f32(a, b); }
DEMI_INLINE vm mask_and(vm a, vm b) { return vandq_u32(a, b); }
DEMI_INLINE vm mask_or(vm a, vm b) { return vorrq_u32(a, b); }
DEMI_INLINE vm mask_not(vm a) { return vmvnq_u32(a); }
DEMI_INLINE bool any(vm m) { return vmaxvq_u32(m) != 0; }

DEMI_INLINE vf exponent_bits(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
// 2^n for whole n in [-126, 127].
DEMI_INLINE vf power_of_two(vf n) { return exponent_bits(vcvtq_s32_f32(n)); }
// x * 2^n for such n.
DEMI_INLINE vf scale_by_power(vf x, vf n) { return x * power_of_two(n); }
// x * 2^n for whole n in [-252, 254]: exact, or correctly rounded where the result is subnormal.
DEMI_INLINE vf scale_by_exponent(vf x, vf n) {
    const int32x4_t k = vcvtq_s32_f32(n);
    const int32x4_t first = vshrq_n_s32(k, 1);
    return x * exponent_bits(first) * exponent_bits(vsubq_s32(k, first));
}

DEMI_INLINE float hsum(vf x) {
    const vf pairs = x + vextq_f32(x, x, 2);
    return pairs[0] + pairs[1];
}
DEMI_INLINE float hmax(vf x) {
    const vf pairs = max(x, vextq_f32(x, x, 2));
    return max(pairs, vextq_f32(pairs, pairs, 1))[0];
}

}  // namespace demi::DEMI_BACKEND
