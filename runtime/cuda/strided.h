#pragma once
// Internal: strided operands of one shape for kernels. Dimensions of size 1 are gone, and neighbours are
// merged where every operand allows it.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu {

template <int N> struct Strided {
    int rank;
    int64_t count;
    int64_t sizes[kMaxRank];
    int64_t strides[N][kMaxRank];  // elements
};

template <int N> struct Offsets { int64_t at[N]; };

// Where element `index` (in logical order) of every operand lies.
template <int N> DEMI_HOST_DEVICE Offsets<N> offsets_of(const Strided<N>& s, int64_t index) {
    Offsets<N> out{};
    for (int i = s.rank - 1; i > 0; --i) {
        const int64_t size = s.sizes[i];
        int64_t at, rest;
        if (((index | size) >> 32) == 0) {  // 32-bit division is several times faster
            rest = static_cast<uint32_t>(index) / static_cast<uint32_t>(size);
            at = index - rest * size;
        } else {
            rest = index / size;
            at = index - rest * size;
        }
        index = rest;
        for (int n = 0; n < N; ++n) out.at[n] += at * s.strides[n][i];
    }
    for (int n = 0; n < N; ++n) out.at[n] += index * s.strides[n][0];
    return out;
}

}  // namespace demi::gpu
