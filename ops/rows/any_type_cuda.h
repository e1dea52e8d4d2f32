#pragma once
// Internal: elements whose type is known at run time only. The question costs little:
// all threads answer it alike.
#include "runtime/cuda/convert.h"

namespace demi::gpu {

template <class C> DEMI_DEVICE C load_any(const void* base, DType type, int64_t at) {
    switch (type) {
    case DType::f32: return static_cast<C>(static_cast<const float*>(base)[at]);
    case DType::f16: return static_cast<C>(load(static_cast<const Half*>(base) + at));
    case DType::bf16: return static_cast<C>(load(static_cast<const BFloat16*>(base) + at));
    case DType::f64: return static_cast<C>(static_cast<const double*>(base)[at]);
    case DType::i32: return static_cast<C>(static_cast<const int32_t*>(base)[at]);
    case DType::i64: return static_cast<C>(static_cast<const int64_t*>(base)[at]);
    case DType::u8: return static_cast<C>(static_cast<const uint8_t*>(base)[at]);
    case DType::boolean: return static_cast<C>(static_cast<const bool*>(base)[at]);
    }
    return C(0);
}

template <class C> DEMI_DEVICE void store_any(void* base, DType type, int64_t at, C x) {
    switch (type) {
    case DType::f32: static_cast<float*>(base)[at] = static_cast<float>(x); break;
    case DType::f16: static_cast<Half*>(base)[at] = convert<Half>(x); break;
    case DType::bf16: static_cast<BFloat16*>(base)[at] = convert<BFloat16>(x); break;
    case DType::f64: static_cast<double*>(base)[at] = static_cast<double>(x); break;
    case DType::i32: static_cast<int32_t*>(base)[at] = convert<int32_t>(x); break;
    case DType::i64: static_cast<int64_t*>(base)[at] = convert<int64_t>(x); break;
    case DType::u8: static_cast<uint8_t*>(base)[at] = convert<uint8_t>(x); break;
    case DType::boolean: static_cast<bool*>(base)[at] = x != C(0); break;
    }
}

}  // namespace demi::gpu
