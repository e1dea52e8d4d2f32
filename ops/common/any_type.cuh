#pragma once
// Internal: elements whose type is known at run time only. The question costs little: all threads answer it
// alike.
#include "runtime/cuda/convert.h"

namespace demi::gpu {

template <class C> DEMI_DEVICE C load_any(const void* base, Type type, int64_t at) {
    switch (type) {
    case Type::f32: return static_cast<C>(static_cast<const float*>(base)[at]);
    case Type::f16: return static_cast<C>(load(static_cast<const f16*>(base) + at));
    case Type::bf16: return static_cast<C>(load(static_cast<const bf16*>(base) + at));
    case Type::f64: return static_cast<C>(static_cast<const double*>(base)[at]);
    case Type::i32: return static_cast<C>(static_cast<const int32_t*>(base)[at]);
    case Type::i64: return static_cast<C>(static_cast<const int64_t*>(base)[at]);
    case Type::u8: return static_cast<C>(static_cast<const uint8_t*>(base)[at]);
    case Type::b1: return static_cast<C>(static_cast<const bool*>(base)[at]);
    }
    return C(0);
}

template <class C> DEMI_DEVICE void store_any(void* base, Type type, int64_t at, C x) {
    switch (type) {
    case Type::f32: static_cast<float*>(base)[at] = static_cast<float>(x); break;
    case Type::f16: static_cast<f16*>(base)[at] = convert<f16>(x); break;
    case Type::bf16: static_cast<bf16*>(base)[at] = convert<bf16>(x); break;
    case Type::f64: static_cast<double*>(base)[at] = static_cast<double>(x); break;
    case Type::i32: static_cast<int32_t*>(base)[at] = convert<int32_t>(x); break;
    case Type::i64: static_cast<int64_t*>(base)[at] = convert<int64_t>(x); break;
    case Type::u8: static_cast<uint8_t*>(base)[at] = convert<uint8_t>(x); break;
    case Type::b1: static_cast<bool*>(base)[at] = x != C(0); break;
    }
}

}  // namespace demi::gpu
