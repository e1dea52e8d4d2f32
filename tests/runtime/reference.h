#pragma once
// Conversions by integer arithmetic only, written apart from the library: the truth of the conversion tests.
#include <bit>
#include <cstdint>

namespace demi::test {

// Rounds a finite or infinite magnitude given as significand * 2^exponent to a format with `fraction` stored
// bits and the exponent range of `exponent_bits`; `sticky`: something non-zero was dropped below.
inline uint32_t round_to_format(uint64_t significand, int exponent, int fraction, int exponent_bits) {
    if (significand == 0) return 0;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction;
    const int top = 63 - std::countl_zero(significand) + exponent;  // value in [2^top, 2^(top+1))
    const int unit = (top < 1 - bias ? 1 - bias : top) - fraction;  // weight of the result's last bit
    const int drop = unit - exponent;                               // bits of the significand to remove
    uint64_t kept = 0, rest = 0, half = 0;
    if (drop <= 0) {
        kept = significand << -drop;
    } else if (drop < 64) {
        kept = significand >> drop;
        rest = significand & ((uint64_t{1} << drop) - 1);
        half = uint64_t{1} << (drop - 1);
    } else {
        return 0;  // below half of the smallest subnormal
    }
    if (drop > 0 && (rest > half || (rest == half && (kept & 1) != 0))) ++kept;
    // kept counts units of 2^unit; a carry to the next power of two carries into the exponent field by itself
    const uint64_t field = top < 1 - bias ? 0 : static_cast<uint64_t>(top + bias - 1);
    const uint64_t bits = (field << fraction) + kept;
    return bits >= infinity ? infinity : static_cast<uint32_t>(bits);
}

inline uint16_t reference_narrow(uint32_t bits, int fraction, int exponent_bits) {
    const uint32_t sign = bits >> 31 << 15;
    const uint32_t field = bits >> 23 & 0xff, low = bits & 0x7fffff;
    const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction;
    if (field == 0xff) {
        if (low == 0) return static_cast<uint16_t>(sign | infinity);
        return static_cast<uint16_t>(sign | infinity | 1u << (fraction - 1) | low >> (23 - fraction));
    }
    const uint64_t significand = field == 0 ? low : low | 0x800000;
    return static_cast<uint16_t>(sign | round_to_format(significand,
                                                        (field == 0 ? 1 : static_cast<int>(field)) - 150,
                                                        fraction, exponent_bits));
}
inline uint16_t reference_f16(uint32_t f32) { return reference_narrow(f32, 10, 5); }
inline uint16_t reference_bf16(uint32_t f32) { return reference_narrow(f32, 7, 8); }

// From double, rounded once; NaN is left to the caller.
inline uint16_t reference_narrow_f64(double x, int fraction, int exponent_bits) {
    const uint64_t bits = std::bit_cast<uint64_t>(x);
    const uint32_t sign = static_cast<uint32_t>(bits >> 63 << 15);
    const int field = static_cast<int>(bits >> 52 & 0x7ff);
    const uint64_t low = bits & ((uint64_t{1} << 52) - 1);
    if (field == 0x7ff) return static_cast<uint16_t>(sign | ((1u << exponent_bits) - 1) << fraction);
    const uint64_t significand = field == 0 ? low : low | uint64_t{1} << 52;
    return static_cast<uint16_t>(
        sign | round_to_format(significand, (field == 0 ? 1 : field) - 1075, fraction, exponent_bits));
}

// The value of a half, built from powers of two.
inline uint32_t reference_widen_f16(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half >> 15) << 31;
    const int field = half >> 10 & 0x1f;
    const uint32_t low = half & 0x3ffu;
    if (field == 0x1f) return sign | 0x7f800000u | (low != 0 ? 0x400000u | low << 13 : 0u);
    if (field == 0 && low == 0) return sign;
    uint32_t significand = field == 0 ? low : low | 0x400u;
    int exponent = (field == 0 ? 1 : field) - 25;  // value = significand * 2^exponent
    while ((significand & 0x400u) == 0) {
        significand <<= 1;
        --exponent;
    }
    return sign | static_cast<uint32_t>(exponent + 10 + 127) << 23 | (significand & 0x3ffu) << 13;
}

}  // namespace demi::test
