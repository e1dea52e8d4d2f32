#pragma once
// Sums over rows straight to [width], for kernel files of the CPU, in an order that depends on the shape only: fixed
// blocks of rows have partial sums of their own, which are added in block order.
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {

// fn(first row, number of rows, sums) adds the rows' share to sums[k], N vectors that start as zeros; outs[k] gets the
// totals, where it is not null.
template <int N, class C, class F>
DEMI_INLINE void sum_rows(int64_t rows, int64_t width, C* const (&outs)[N], Queue queue, const F& fn) {
    const int64_t shared = ceil_div(rows, 64), tile = rows_per_tile(width),
                  per_block = shared > tile ? shared : tile;
    const int64_t blocks = ceil_div(rows, per_block);
    const int64_t step = ceil_div(width, 16) * 16 + 16;  // two blocks never share a cache line
    const size_t bytes = static_cast<size_t>(blocks * N * step) * sizeof(C);
    const Scratch scratch(bytes, queue);
    C* partial = scratch.as<C>();
    __builtin_memset(partial, 0, bytes);
    parallel_for(blocks, [&](int64_t b) {
        C* sums[N];
        for (int k = 0; k < N; ++k) sums[k] = partial + (b * N + k) * step;
        const int64_t begin = b * per_block;
        fn(begin, rows - begin < per_block ? rows - begin : per_block, sums);
    });
    for (int k = 0; k < N; ++k) {
        if (outs[k] == nullptr) continue;
        for (int64_t i = 0; i < width; ++i) outs[k][i] = 0;
        for (int64_t b = 0; b < blocks; ++b) {
            const C* sums = partial + (b * N + k) * step;
            for (int64_t i = 0; i < width; ++i) outs[k][i] += sums[i];
        }
    }
}

}  // namespace demi::DEMI_BACKEND
