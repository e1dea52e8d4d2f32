#pragma once
// Half (IEEE binary16) and BFloat16: storage types with exact conversions.
// To float: exact. From float: round to nearest, ties to even, subnormals kept; |x| >= 65520 becomes
// infinity in Half; NaN stays NaN (quiet, sign and upper payload kept). C++17: GPU kernels include it too.
#include <stdint.h>

namespace demi {

constexpr uint16_t f32_to_f16_bits(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t mag = bits & 0x7fffffffu;
    if (mag > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((mag >> 13) & 0x3ffu));
    if (mag >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and above
    if (mag < 0x33000000u) return static_cast<uint16_t>(sign);             // below 2^-25
    const int exponent = static_cast<int>(mag >> 23) - 127;
    if (exponent < -14) {  // subnormal: shift the full significand, then round
        const uint32_t significand = (mag & 0x7fffffu) | 0x800000u;
        const int shift = -exponent - 1;  // 14..24
        const uint32_t kept = significand >> shift;
        const uint32_t rest = significand & ((1u << shift) - 1u);
        const uint32_t half = 1u << (shift - 1);
        const uint32_t up = (rest > half || (rest == half && (kept & 1u))) ? 1u : 0u;
        return static_cast<uint16_t>(sign | (kept + up));
    }
    const uint32_t rounded = mag + 0xfffu + ((mag >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

constexpr float f16_bits_to_f32(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;
    if (exponent == 0x1f) {
        const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
        return __builtin_bit_cast(float, sign | 0x7f800000u | quiet | (fraction << 13));
    }
    if (exponent != 0) return __builtin_bit_cast(float, sign | ((exponent + 112u) << 23) | (fraction << 13));
    if (fraction == 0) return __builtin_bit_cast(float, sign);
    const int shift = __builtin_clz(fraction) - 21;  // brings the leading one to bit 10
    fraction = (fraction << shift) & 0x3ffu;
    return __builtin_bit_cast(float, sign | (static_cast<uint32_t>(113 - shift) << 23) | (fraction << 13));
}

constexpr uint16_t f32_to_bf16_bits(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float bf16_bits_to_f32(uint16_t bits) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

struct Half {
    uint16_t bits;
    Half() = default;
    constexpr explicit Half(float x) : bits(f32_to_f16_bits(x)) {}
    constexpr operator float() const { return f16_bits_to_f32(bits); }
    static constexpr Half from_bits(uint16_t bits) {
        Half h{};
        h.bits = bits;
        return h;
    }
};

struct BFloat16 {
    uint16_t bits;
    BFloat16() = default;
    constexpr explicit BFloat16(float x) : bits(f32_to_bf16_bits(x)) {}
    constexpr operator float() const { return bf16_bits_to_f32(bits); }
    static constexpr BFloat16 from_bits(uint16_t bits) {
        BFloat16 h{};
        h.bits = bits;
        return h;
    }
};

static_assert(sizeof(Half) == 2 && sizeof(BFloat16) == 2);

}  // namespace demi
