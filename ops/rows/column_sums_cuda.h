#pragma once
// Internal: sums over rows straight to columns, in an order that depends on the shape only. Blocks of rows
// leave partial sums [blocks][columns], which are added afterwards.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct RowBlocks {
    int64_t per = 1, count = 0;  // rows in a block; blocks
};
inline RowBlocks row_blocks(int64_t rows, int64_t rows_at_least = 16) {
    constexpr int64_t kMost = 512;
    RowBlocks b;
    b.per = (rows + kMost - 1) / kMost;
    if (b.per < rows_at_least) b.per = rows_at_least;
    b.count = (rows + b.per - 1) / b.per;
    return b;
}

// Sums of `blocks` partial rows, f32 or f64: of the first `width` columns to out0, of the following `width`
// to out1 where it is not null. 0 where there is no block.
struct SumPartials {
    const void* partial;
    void *out0, *out1;
    int64_t blocks, width;
};
void sum_partials(DType type, const SumPartials& call, gpu::Stream stream);

// out[c] = sum over r of x[r][c]; x contiguous [rows, width] of `type`; out and partial
// (row_blocks(rows).count * width elements) in f32 (f64 for f64).
struct ColumnSumsCall {
    const void* x;
    void *out, *partial;
    int64_t rows, width;
};
void column_sums(DType type, const ColumnSumsCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
