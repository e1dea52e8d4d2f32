#pragma once
// Internal, for .cu files: attention on tensor cores where nothing is in the way: every query of a segment sees
// all its keys, no bias, no dropout, one head size, rows of whole 16 bytes. What holds for all elements is
// settled before the loops, so that these are products and a handful of instructions for each score.
#include "ops/memory_efficient_attention/attention_backward_cuda.h"

namespace demi::gpu_kernels {

// Tiles travel in units of eight elements. A thread's first unit, of rows that begin at element `first`: the others
// follow whole multiples of units_at_once() rows later.
template <int kSize> DEMI_DEVICE int64_t first_unit(const AttentionOperand& x, int64_t first) {
    const int t = static_cast<int>(gpu::thread_idx().x);
    return first + t / (kSize / 8) * x.token + t % (kSize / 8) * 8;
}
template <int kSize> DEMI_DEVICE int rows_at_once() { return static_cast<int>(gpu::block_dim().x) / (kSize / 8); }

// What casts stays out of line, so that it costs nothing where nothing is cast.
template <int kSize, bool kBf16>
DEMI_OUT_OF_LINE void cast_rows(uint16_t* to, int row, int rows, int capacity, const AttentionOperand& x,
                                int64_t unit) {
    const int step = rows_at_once<kSize>();
    DEMI_ROLLED
    for (; row < capacity; row += step, to += step * (kSize + 8), unit += step * x.token) {
        gpu::Bytes16 packed{};
        if (row < rows) {
            float v[8];
            load_eight(v, x.data, unit, x.storage);
            DEMI_UNROLL
            for (int j = 0; j < 4; ++j)
                packed.w[j] = pack<kBf16>(cross(v[2 * j], x.cast), cross(v[2 * j + 1], x.cast));
        }
        gpu::store16(to, packed);
    }
}
template <int kSize>
DEMI_OUT_OF_LINE void cast_out(const RowsOut<kSize>& leaving, const AttentionResult& out, int64_t first, int rows,
                               bool wide, LaneCount& lost) {
    leaving.store(out, first, rows, kSize, wide, lost);
}

// Rows of an operand to shared memory, from a thread's first unit on, zeros beyond `rows`. What needs no cast is on
// its way when this returns.
template <int kSize, bool kBf16>
DEMI_DEVICE void load_rows(uint16_t* tile, int capacity, const AttentionOperand& x, int64_t unit, int rows) {
    constexpr int kUnits = kSize / 8, kStride = kSize + 8;
    const int t = static_cast<int>(gpu::thread_idx().x), step = rows_at_once<kSize>();
    int row = t / kUnits;
    uint16_t* to = tile + row * kStride + t % kUnits * 8;
    if (x.storage != (kBf16 ? Storage::bf16 : Storage::f16) || x.cast.round)
        return cast_rows<kSize, kBf16>(to, row, rows, capacity, x, unit);
    const uint16_t* from = static_cast<const uint16_t*>(x.data) + unit;
    const int64_t apart = step * x.token;
    for (; row < rows; row += step, to += step * kStride, from += apart) gpu::cp_async16(to, from, true);
    for (; row < capacity; row += step, to += step * kStride) gpu::store16(to, {});
}

// The sums of a warp's rows, times a factor for each of the lane's two, to `rows` rows of the result from element
// `first` on. `tiles`: shared memory of the block, which nobody needs any more. `sums`: null where nobody counts.
template <int kSize, bool kBf16>
DEMI_DEVICE void store_rows(uint16_t* tiles, const AttentionResult& out, int64_t first, int rows, bool wide,
                            const float (&acc)[kSize / 8][4], float factor, float other_factor,
                            const CastSums* sums, LaneCount& lost) {
    constexpr int kUnits = kSize / 8, kStride = kSize + 8;
    const Cast& cast = out.cast;
    const bool as_is = wide && out.storage == (kBf16 ? Storage::bf16 : Storage::f16) && cast.scale == 1 &&
                       cast.undo == 1 && !cast.saturate && sums == nullptr && !(kBf16 && cast.round);
    if (!as_is) {
        const RowsOut<kSize> leaving(tiles);
        leaving.take(acc, factor, other_factor);
        return cast_out(leaving, out, first, rows, wide, lost);
    }
    uint16_t* stage = tiles + gpu::warp() * 16 * kStride;
    uint16_t* mine = stage + gpu::lane() / 4 * kStride + 2 * (gpu::lane() % 4);
    gpu::sync_warp();
    DEMI_UNROLL
    for (int n = 0; n < kSize / 8; ++n) {
        const uint32_t pairs[2] = {pack<kBf16>(acc[n][0] * factor, acc[n][1] * factor),
                                   pack<kBf16>(acc[n][2] * other_factor, acc[n][3] * other_factor)};
        *reinterpret_cast<uint32_t*>(mine + 8 * n) = pairs[0];
        *reinterpret_cast<uint32_t*>(mine + 8 * n + 8 * kStride) = pairs[1];
    }
    gpu::sync_warp();
    int row = gpu::lane() / kUnits;
    const int column = gpu::lane() % kUnits * 8;
    uint16_t* to = static_cast<uint16_t*>(out.data) + first + row * out.token + column;
    const uint16_t* from = stage + row * kStride + column;
    DEMI_UNROLL
    for (int i = 0; i < kUnits / 2; ++i) {
        if (row < rows) gpu::store16(to, gpu::load16(from));
        row += 32 / kUnits;
        to += 32 / kUnits * out.token;
        from += 32 / kUnits * kStride;
    }
}

// Products of the warp's rows with `kCount` rows of a tile: -infinity from column `here` on and in rows that are
// not real. With kWhole there are no such rows and columns.
template <int kSize, int kCount, bool kBf16, bool kWhole>
DEMI_DEVICE void scores(float (&s)[kCount / 8][4], const LeftRows<kSize>& left, const uint16_t* tile, int here,
                        bool row_is_real = true, bool row_8_is_real = true) {
    multiply_transposed<kSize, kCount, kBf16>(s, left, tile, kCount, kSize);
    if constexpr (!kWhole) {
        DEMI_UNROLL
        for (int n = 0; n < kCount / 8; ++n) {
            DEMI_UNROLL
            for (int e = 0; e < 4; ++e) {
                const bool real = e < 2 ? row_is_real : row_8_is_real;
                if (!real || 8 * n + 2 * (gpu::lane() % 4) + e % 2 >= here) s[n][e] = -gpu::infinity();
            }
        }
    }
}

// The largest finite magnitude of some gradients of scores.
template <int kCount> DEMI_DEVICE uint32_t largest_finite(const float (&x)[kCount][4]) {
    float largest = 0;
    DEMI_UNROLL
    for (int n = 0; n < kCount; ++n) {
        DEMI_UNROLL
        for (int e = 0; e < 4; ++e) largest = gpu::max_number(largest, gpu::abs(x[n][e]));
    }
    uint32_t bits = gpu::bit_cast<uint32_t>(largest);
    if (bits < kInfinityBits) return bits;
    bits = 0;
    for (int n = 0; n < kCount; ++n) {
        for (int e = 0; e < 4; ++e) {
            const uint32_t m = WarpScale::magnitude(x[n][e]);
            bits = m > bits ? m : bits;
        }
    }
    return bits;
}

// fit() for whole arrays.
template <bool kBf16, int kSums, int kCount>
DEMI_DEVICE void fit_all(float (&grads)[kCount][4], WarpScale& scale, float (&sums)[kSums][4]) {
    if constexpr (!kBf16) {
        const float decay = scale.make_room(largest_finite(grads));
        if (decay != 1) scale_all(sums, decay);
        scale_all(grads, scale.into());
    }
}

}  // namespace demi::gpu_kernels
