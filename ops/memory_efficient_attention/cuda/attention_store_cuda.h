#pragma once
// Internal, for .cu files: the sums of a warp's sixteen rows on their way out. They pass through
// the block's shared memory, no longer needed by then, so that rows leave 16 bytes at a time
// and little code is unrolled.
#include "ops/memory_efficient_attention/cuda/attention_exact_rows_cuda.h"

namespace demi::gpu_kernels {

template <int kSize> struct RowsOut {
    static constexpr int kStride = kSize + 8;  // as many bytes as two rows of a tile
    float* stage;                              // of this warp

    DEMI_DEVICE explicit RowsOut(uint16_t* tiles)
        : stage(reinterpret_cast<float*>(tiles) + gpu::warp() * 16 * kStride) {}

    // The sums, times a factor for each of the lane's rows.
    DEMI_DEVICE void take(const float (&acc)[kSize / 8][4], float factor, float other_factor) const {
        float* to = stage + gpu::lane() / 4 * kStride + 2 * (gpu::lane() % 4);
        gpu::sync_warp();
        DEMI_UNROLL
        for (int n = 0; n < kSize / 8; ++n) {
            DEMI_UNROLL
            for (int e = 0; e < 2; ++e) {
                to[8 * n + e] = acc[n][e] * factor;
                to[8 * n + e + 8 * kStride] = acc[n][2 + e] * other_factor;
            }
        }
        gpu::sync_warp();
    }

    // Row r gets what is not finite in the rows of `x` that it sees: seen(r) gives
    // which, skips(token) which not.
    template <class Seen, class Skips>
    DEMI_DEVICE void add_not_finite(const AttentionOperand& x, int64_t first, int64_t size, int rows,
                                    float sign, const Seen& seen, const Skips& skips) const {
        DEMI_ROLLED
        for (int r = 0; r < rows; ++r) {
            const IntRange span = seen(r);
            DEMI_ROLLED
            for (int token = span.begin; token < span.end; ++token) {
                if (skips(token)) continue;
                DEMI_ROLLED
                for (int64_t c = gpu::lane(); c < size; c += 32) {
                    const float v = element<float>(x, first + token * x.token + c);
                    if (!gpu::is_finite(v)) stage[r * kStride + c] += sign < 0 ? -v : v;
                }
            }
        }
        gpu::sync_warp();
    }

    // To `rows` rows of the result from element `first` on, through its cast.
    DEMI_DEVICE void store(const AttentionResult& out, int64_t first, int rows, int64_t size, bool in_eights,
                           LaneCount& lost) const {
        const int unit = in_eights ? 8 : 1, units = static_cast<int>(size) / unit;
        DEMI_ROLLED
        for (int u = gpu::lane(); u < rows * units; u += 32) {
            const int r = u / units, c = (u - r * units) * unit;
            const float* from = stage + r * kStride + c;
            const int64_t at = first + r * out.token + c;
            if (!in_eights) {
                store_one(out.data, at, out.dtype, cross(*from, out.cast, lost));
                continue;
            }
            float x[8];
            load_eight(x, from, 0, DType::f32);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] = cross(x[j], out.cast, lost);
            store_eight(out.data, at, out.dtype, x);
        }
    }
};

}  // namespace demi::gpu_kernels
