#pragma once
// Device code: a block's share of column sums, beside kernels that walk rows by a RowPlan. Every thread adds
// to the columns that its plan gives it.
#include "ops/rows/column_sums_cuda.h"
#include "ops/rows/row_plan_cuda.h"

namespace demi::gpu_kernels {

template <class T, class Plan> struct ColumnSums {
    typedef gpu::compute_t<T> C;
    C kept[Plan::template kPacks<T>][kPack<T>];
    C* out;  // the block's partial sums

    DEMI_DEVICE ColumnSums(C* out_, int64_t width) : out(out_) {
        if (out == nullptr) return;
        DEMI_UNROLL
        for (int k = 0; k < Plan::template kPacks<T>; ++k) {
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) kept[k][i] = 0;
        }
        if constexpr (!Plan::kCached)
            Plan::template each_pack<T>(width, [&](int, int64_t at, int count) {
                for (int i = 0; i < count; ++i) out[at + i] = 0;
            });
    }
    // Into column at + i, element i of pack k.
    DEMI_DEVICE void add(int k, int64_t at, int i, C value) {
        if constexpr (Plan::kCached)
            kept[k][i] += value;
        else
            out[at + i] += value;
    }
    DEMI_DEVICE void multiply_add(int k, int64_t at, int i, C a, C b) {
        if constexpr (Plan::kCached)
            kept[k][i] = gpu::fma(a, b, kept[k][i]);
        else
            out[at + i] = gpu::fma(a, b, out[at + i]);
    }
    // All threads of the block; scratch: `width` values of shared memory where a block holds several rows.
    DEMI_DEVICE void finish(int64_t width, C* scratch) {
        if (out == nullptr) return;
        if constexpr (Plan::kCached && Plan::kRows == 1)
            Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i)
                    if (i < count) out[at + i] = kept[k][i];
            });
        if constexpr (Plan::kRows > 1) {
            for (int turn = 0; turn < Plan::kRows; ++turn) {
                gpu::sync_threads();
                if (Plan::place() != turn) continue;
                Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
                    DEMI_UNROLL
                    for (int i = 0; i < kPack<T>; ++i)
                        if (i < count) scratch[at + i] = (turn == 0 ? C(0) : scratch[at + i]) + kept[k][i];
                });
            }
            gpu::sync_threads();
            for (int64_t c = gpu::thread_idx().x; c < width; c += Plan::kBlock) out[c] = scratch[c];
        }
    }
    static size_t shared_bytes(int64_t width) {
        return Plan::kRows == 1 ? 0 : static_cast<size_t>(width) * sizeof(C);
    }
};

}  // namespace demi::gpu_kernels
