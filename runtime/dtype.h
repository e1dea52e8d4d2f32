#pragma once
// The element types, and the way from a run-time dtype to a compile-time type.
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "runtime/check.h"
#include "runtime/element.h"

namespace demi {

std::string_view name(DType dtype);  // "f16", ..., "bool"
std::ostream& operator<<(std::ostream& out, DType dtype);

// The one promotion rule of element-wise ops. Same dtype: itself. Any float beats any integer, any integer
// beats bool. Two floats: the wider one; f16 with bf16 gives f32. Two integers: the wider one.
DType promote(DType a, DType b);

template <class T> struct DTypeOf {
    static_assert(!std::is_same_v<T, T>, "a Tensor's elements are Half, BFloat16, float, double, int32_t, "
                                         "int64_t, uint8_t or bool: convert first");
    static constexpr DType value = DType::f32;
};
template <> struct DTypeOf<Half> { static constexpr DType value = DType::f16; };
template <> struct DTypeOf<BFloat16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <class T> constexpr DType dtype_of = DTypeOf<T>::value;

// The type that arithmetic on T runs in: double for double, float for the other floats.
template <class T> struct ComputeType { using type = float; };
template <> struct ComputeType<double> { using type = double; };
template <class T> using compute_t = typename ComputeType<T>::type;

// dispatch_float(x.dtype(), "gelu", [&]<class T>() { ... });
template <class F> decltype(auto) dispatch_float(DType dtype, std::string_view op, F&& f) {
    switch (dtype) {
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    default: fail(op, "needs a floating-point tensor: got ", name(dtype));
    }
}

template <class F> decltype(auto) dispatch_all(DType dtype, std::string_view op, F&& f) {
    switch (dtype) {
    case DType::i32: return f.template operator()<int32_t>();
    case DType::i64: return f.template operator()<int64_t>();
    case DType::u8: return f.template operator()<uint8_t>();
    case DType::boolean: return f.template operator()<bool>();
    default: return dispatch_float(dtype, op, static_cast<F&&>(f));
    }
}

}  // namespace demi
