#pragma once
// Internal: from Tensors to what kernels take (C++20 side).
#include "runtime/cuda/gpu_types.h"
#include "runtime/cuda/strided.h"
#include "runtime/strided.h"
#include "runtime/tensor.h"

namespace demi::gpu {

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
