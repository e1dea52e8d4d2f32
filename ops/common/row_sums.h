#pragma once
// Sums over rows straight to [width], in an order that depends on the shape only: fixed blocks of rows have
// partial sums of their own, which are added in block order.
#include <vector>

#include "ops/common/rows.h"

namespace demi {

struct RowBlocks {
    int64_t rows, width;
    int64_t per_block() const { return std::max(ceil_div(rows, 64), rows_per_tile(width)); }
    int64_t count() const { return ceil_div(rows, per_block()); }
};

// fn(first row, rows, sums[k] ...) adds the rows' share to zeroed sums; outs[k] gets the totals.
template <class T, size_t N, class F> void sum_rows(RowBlocks blocks, const std::array<T*, N>& outs, F&& fn) {
    const int64_t width = blocks.width;
    // Padded, so that two blocks never share a cache line.
    const int64_t step = ceil_div(width, 16) * 16 + 16;
    std::vector<T> partial(static_cast<size_t>(step * static_cast<int64_t>(N) * blocks.count()));
    parallel_for(blocks.count(), [&](int64_t b) {
        std::array<T*, N> sums;
        for (size_t k = 0; k < N; ++k)
            sums[k] = partial.data() + (b * static_cast<int64_t>(N) + static_cast<int64_t>(k)) * step;
        const int64_t begin = b * blocks.per_block();
        fn(begin, std::min(blocks.per_block(), blocks.rows - begin), sums);
    });
    for (size_t k = 0; k < N; ++k) {
        if (outs[k] == nullptr) continue;
        std::fill(outs[k], outs[k] + width, T{0});
        for (int64_t b = 0; b < blocks.count(); ++b) {
            const T* sums = partial.data() + (b * static_cast<int64_t>(N) + static_cast<int64_t>(k)) * step;
            for (int64_t i = 0; i < width; ++i) outs[k][i] += sums[i];
        }
    }
}

}  // namespace demi
