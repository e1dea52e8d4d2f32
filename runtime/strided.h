#pragma once
// Internal: one walk over N strided operands of the same shape. Dimensions are merged where all operands
// allow it, then the walk is cut into rows (the innermost dimension) of bounded length, in parallel.
#include <algorithm>
#include <array>

#include "runtime/parallel.h"
#include "runtime/shape.h"

namespace demi {

template <int N> struct StridedWalk {
    int rank = 1;
    std::array<int64_t, Shape::kMaxRank> sizes{};
    std::array<std::array<int64_t, Shape::kMaxRank>, N> strides{};  // [operand][dim], elements

    StridedWalk(const Shape& shape, const std::array<const Shape*, N>& operand_strides) {
        rank = 0;
        if (shape.numel() == 0) {  // other sizes may be huge
            rank = 1;
            return;
        }
        for (int i = 0; i < shape.rank(); ++i) {
            if (shape[i] == 1) continue;
            bool merge = rank > 0;
            for (int n = 0; merge && n < N; ++n)
                merge = stride(n, rank - 1) == (*operand_strides[size_t(n)])[i] * shape[i];
            if (!merge) ++rank;
            sizes[size_t(rank - 1)] = merge ? sizes[size_t(rank - 1)] * shape[i] : shape[i];
            for (int n = 0; n < N; ++n)
                strides[size_t(n)][size_t(rank - 1)] = (*operand_strides[size_t(n)])[i];
        }
        if (rank == 0) {
            rank = 1;
            sizes[0] = 1;
        }
    }

    int64_t stride(int operand, int dim) const { return strides[size_t(operand)][size_t(dim)]; }
    int64_t inner() const { return sizes[size_t(rank - 1)]; }
    int64_t outer() const {
        int64_t rows = 1;
        for (int i = 0; i + 1 < rank; ++i) rows *= sizes[size_t(i)];
        return rows;
    }
    std::array<int64_t, N> row_offsets(int64_t row) const {
        std::array<int64_t, N> offsets{};
        for (int i = rank - 2; i >= 0; --i) {
            const int64_t at = row % sizes[size_t(i)];
            row /= sizes[size_t(i)];
            for (int n = 0; n < N; ++n) offsets[size_t(n)] += at * stride(n, i);
        }
        return offsets;
    }
    std::array<int64_t, N> inner_strides() const {
        std::array<int64_t, N> out{};
        for (int n = 0; n < N; ++n) out[size_t(n)] = stride(n, rank - 1);
        return out;
    }
};

// fn(offsets, count, strides): `count` elements, operand n at offsets[n] + i * strides[n].
template <int N, class F> void for_each_row(const StridedWalk<N>& walk, F&& fn) {
    constexpr int64_t kGrain = 32768;
    const int64_t inner = walk.inner(), outer = walk.outer();
    if (inner == 0 || outer == 0) return;
    const auto strides = walk.inner_strides();
    const int64_t pieces = ceil_div(inner, kGrain);                              // a long row is cut
    const int64_t rows = pieces > 1 ? 1 : std::max<int64_t>(kGrain / inner, 1);  // short rows are bundled
    parallel_for(ceil_div(outer, rows) * pieces, [&](int64_t tile) {
        const int64_t first = tile / pieces * rows, begin = tile % pieces * kGrain;
        for (int64_t row = first; row < std::min(first + rows, outer); ++row) {
            auto offsets = walk.row_offsets(row);
            for (int n = 0; n < N; ++n) offsets[size_t(n)] += begin * strides[size_t(n)];
            fn(offsets, pieces > 1 ? std::min(kGrain, inner - begin) : inner, strides);
        }
    });
}

}  // namespace demi
