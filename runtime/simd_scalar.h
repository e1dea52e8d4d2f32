#pragma once
// Scalar conversions for simd.h; the same bits as the vector instructions, NaN payloads included.

namespace demi::DEMI_BACKEND {

DEMI_INLINE float bits_to_float(uint32_t u) { return __builtin_bit_cast(float, u); }
DEMI_INLINE uint32_t float_to_bits(float f) { return __builtin_bit_cast(uint32_t, f); }

DEMI_INLINE float to_float(float x) { return x; }

DEMI_INLINE float to_float(BFloat16 h) { return bits_to_float(static_cast<uint32_t>(h.bits) << 16); }

DEMI_INLINE float to_float(Half h) {
    const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16;
    const uint32_t rest = h.bits & 0x7fffu;
    if (rest > 0x7c00u) return bits_to_float(sign | 0x7fc00000u | rest << 13);
    if (rest == 0x7c00u) return bits_to_float(sign | 0x7f800000u);
    // Multiplying by 2^112 moves the exponent to its place and is exact for subnormals too.
    const float magnitude = bits_to_float(rest << 13) * 0x1p112f;
    return bits_to_float(sign | float_to_bits(magnitude));
}

DEMI_INLINE void from_float(float x, float* out) { *out = x; }

DEMI_INLINE void from_float(float x, BFloat16* out) {
    const uint32_t u = float_to_bits(x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    out->bits = static_cast<uint16_t>(nan ? (u >> 16 | 0x40u) : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

DEMI_INLINE void from_float(float x, Half* out) {
    const uint32_t u = float_to_bits(x);
    const uint32_t sign = u >> 16 & 0x8000u;
    const uint32_t rest = u & 0x7fffffffu;
    uint32_t half;
    if (rest > 0x7f800000u) {
        half = 0x7e00u | (rest >> 13 & 0x3ffu);
    } else if (rest >= 0x477ff000u) {  // 65520 and above
        half = 0x7c00u;
    } else if (rest <
               0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal, rounded, in the lowest bits
        half = float_to_bits(bits_to_float(rest) + 0.5f) - 0x3f000000u;
    } else {
        half = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13;
    }
    out->bits = static_cast<uint16_t>(sign | half);
}

}  // namespace demi::DEMI_BACKEND
