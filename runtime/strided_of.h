#pragma once
// Internal: from Shapes to what kernels take.
#include <array>

#include "runtime/shape.h"
#include "runtime/strided.h"

namespace demi {

template <int N> Strided<N> strided(const Shape& shape, const std::array<const Shape*, N>& strides) {
    static_assert(Strided<N>::kMaxRank == Shape::kMaxRank);
    Strided<N> s{};
    s.count = shape.numel();
    // Without elements other sizes may be huge.
    for (int i = 0; s.count > 0 && i < shape.rank(); ++i) {
        if (shape[i] == 1) continue;
        bool merge = s.rank > 0;
        for (int n = 0; merge && n < N; ++n)
            merge = s.strides[n][s.rank - 1] == (*strides[size_t(n)])[i] * shape[i];
        if (!merge) ++s.rank;
        s.sizes[s.rank - 1] = merge ? s.sizes[s.rank - 1] * shape[i] : shape[i];
        for (int n = 0; n < N; ++n) s.strides[n][s.rank - 1] = (*strides[size_t(n)])[i];
    }
    if (s.rank == 0) {
        s.rank = 1;
        s.sizes[0] = s.count;
    }
    return s;
}

}  // namespace demi
