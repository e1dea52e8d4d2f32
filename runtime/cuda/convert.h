#pragma once
// Internal: any element type to any other on the device, one rounding, with the bits of the CPU's copy():
// floats that an integer cannot hold saturate, NaN becomes 0.
#include "runtime/cuda/gpu.h"

namespace demi::gpu {

// To Half and BFloat16 from more than 24 bits: rounding to odd on the way keeps the dropped bits visible, so that
// the last rounding sees every tie as what it is.
DEMI_DEVICE float round_to_odd(double x) {
    const float y = static_cast<float>(x);
    if (static_cast<double>(y) == x || y != y || !is_finite(y)) return y;
    const uint32_t bits = bit_cast<uint32_t>(y);
    if ((bits & 1u) != 0) return y;
    return bit_cast<float>(abs(static_cast<double>(y)) > abs(x) ? bits - 1 : bits + 1);
}
DEMI_DEVICE double as_odd_double(int64_t x) {
    const int64_t sticky = (x & 0x7ff) != 0 ? 1 : 0, limit = int64_t{1} << 53;
    return x > -limit && x < limit ? static_cast<double>(x)
                                   : static_cast<double>((x >> 11) | sticky) * 2048.0;
}

template <class T> struct IsHalf { static constexpr bool value = false; };
template <> struct IsHalf<Half> { static constexpr bool value = true; };
template <> struct IsHalf<BFloat16> { static constexpr bool value = true; };
template <class T> struct IsInt { static constexpr bool value = false; };
template <> struct IsInt<int32_t> { static constexpr bool value = true; };
template <> struct IsInt<int64_t> { static constexpr bool value = true; };
template <> struct IsInt<uint8_t> { static constexpr bool value = true; };
template <class T> struct IsBool { static constexpr bool value = false; };
template <> struct IsBool<bool> { static constexpr bool value = true; };

template <class T> struct IntLimits;
template <> struct IntLimits<int32_t> { static constexpr int64_t low = -2147483647 - 1, high = 2147483647; };
template <> struct IntLimits<int64_t> {
    static constexpr int64_t high = 9223372036854775807ll, low = -high - 1;
};
template <> struct IntLimits<uint8_t> { static constexpr int64_t low = 0, high = 255; };

// The value of an element in a type that the language knows.
template <class T> DEMI_DEVICE auto plain(T x) {
    if constexpr (IsHalf<T>::value)
        return load(&x);
    else
        return x;
}

template <class To, class From> DEMI_DEVICE To convert(From from) {
    const auto x = plain(from);
    if constexpr (IsBool<To>::value) {
        return x != 0;
    } else if constexpr (IsHalf<To>::value) {
        float value;
        if constexpr (sizeof(From) == 8 && !IsInt<From>::value)
            value = round_to_odd(x);
        else if constexpr (IsInt<From>::value && sizeof(From) > 1)
            value = round_to_odd(as_odd_double(x));
        else
            value = static_cast<float>(x);
        To to;
        store(&to, value);
        return to;
    } else if constexpr (IsInt<To>::value && !IsInt<From>::value && !IsBool<From>::value) {
        const double v = static_cast<double>(x);
        if (v != v) return To(0);
        if (v <= static_cast<double>(IntLimits<To>::low)) return static_cast<To>(IntLimits<To>::low);
        if (v >= static_cast<double>(IntLimits<To>::high)) return static_cast<To>(IntLimits<To>::high);
        return static_cast<To>(v);
    } else {
        return static_cast<To>(x);
    }
}

}  // namespace demi::gpu
