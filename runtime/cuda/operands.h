#pragma once
// Internal: from Tensors to what kernels take (C++20 side).
#include "runtime/cuda/gpu_types.h"
#include "runtime/cuda/strided.h"
#include "runtime/strided.h"
#include "runtime/tensor.h"

namespace demi::gpu {

constexpr Type type_of(DType dtype) {
    switch (dtype) {
    case DType::f16: return Type::f16;
    case DType::bf16: return Type::bf16;
    case DType::f32: return Type::f32;
    case DType::f64: return Type::f64;
    case DType::i32: return Type::i32;
    case DType::i64: return Type::i64;
    case DType::u8: return Type::u8;
    case DType::boolean: return Type::b1;
    }
    return Type::f32;
}

template <int N> Strided<N> strided(const Shape& shape, const std::array<const Shape*, N>& strides) {
    const StridedWalk<N> walk(shape, strides);
    Strided<N> out{};
    out.rank = walk.rank;
    out.count = shape.numel();
    for (int i = 0; i < walk.rank; ++i) {
        out.sizes[i] = walk.sizes[static_cast<size_t>(i)];
        for (int n = 0; n < N; ++n) out.strides[n][i] = walk.stride(n, i);
    }
    return out;
}

}  // namespace demi::gpu
