#pragma once
// Internal, for .cu files: the sums of a warp's sixteen rows on their way out. They pass through the block's
// shared memory, no longer needed by then, so that rows leave 16 bytes at a time and little code is unrolled.
#include "ops/memory_efficient_attention/cuda/attention_exact_rows_cuda.h"

namespace demi::gpu_kernels {

template <int kSize> struct RowsOut : StagedRows {
    static constexpr int kStride = kSize + 8;  // as many bytes as two rows of a tile

    DEMI_DEVICE RowsOut(uint16_t* tiles, const TilePlace& at_, int row_)
        : StagedRows{at_, row_, smaller(16, at_.rows - row_), kStride,
                     reinterpret_cast<float*>(tiles) + gpu::warp() * 16 * kStride} {}

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
    DEMI_DEVICE void add_not_finite(const AttentionOperand& x, int64_t first, int64_t size, float sign,
                                    const Seen& seen, const Skips& skips) const {
        if (*found() == 0) return;
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

    // To the result from element `first` on, through its cast.
    DEMI_DEVICE void store(const AttentionResult& out, int64_t first, int64_t size, bool in_eights,
                           LaneCount& lost) const {
        const int unit = in_eights ? 8 : 1, units = static_cast<int>(size) / unit;
        DEMI_ROLLED
        for (int u = gpu::lane(); u < rows * units; u += 32) {
            const int r = u / units, c = (u - r * units) * unit;
            const float* from = stage + r * kStride + c;
            const int64_t to = first + r * out.token + c;
            if (!in_eights) {
                store_one(out.data, to, out.dtype, cross(*from, out.cast, lost));
                continue;
            }
            float x[8];
            load_some(x, from, 0, DType::f32);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] = cross(x[j], out.cast, lost);
            store_some(out.data, to, out.dtype, x);
        }
    }
};

// ---- without kMasked: what leaves goes in whole sixteen bytes, cast in registers

template <int kSize>
DEMI_OUT_OF_LINE void store_by_elements(const RowsOut<kSize>& leaving, const AttentionResult& out,
                                        int64_t first, LaneCount& lost) {
    leaving.store(out, first, kSize, false, lost);
}

// What leaves goes through its cast in the registers where it was summed; `rows` of the warp's are real. To
// fp16 it is rounded by who stores it.
template <int kSize>
DEMI_DEVICE void cast_sums(float (&x)[kSize / 8][4], const AttentionResult& out, int rows, LaneCount& lost) {
    const Cast& cast = out.cast;
    const auto each = [&](auto&& fn) {
        DEMI_UNROLL
        for (int n = 0; n < kSize / 8; ++n) {
            DEMI_UNROLL
            for (int half = 0; half < 2; ++half) fn(x[n][2 * half], x[n][2 * half + 1]);
        }
    };
    if (cast.scale != 1) each([&](float& a, float& b) { a *= cast.scale, b *= cast.scale; });
    if (cast.round && cast.count) {
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            if (gpu::lane() / 4 + 8 * half >= rows) continue;
            float row[kSize / 4];
            DEMI_UNROLL
            for (int i = 0; i < kSize / 4; ++i) row[i] = x[i / 2][2 * half + i % 2];
            lost.add_all(row);
        }
    }
    if (cast.round && cast.saturate)
        each([&](float& a, float& b) { a = saturate_to_half(a), b = saturate_to_half(b); });
    if (cast.round && !(out.dtype == DType::f16 && cast.undo == 1))
        each([&](float& a, float& b) { gpu::unpack_f16(gpu::pack_f16(a, b), a, b); });
    if (cast.undo != 1) each([&](float& a, float& b) { a *= cast.undo, b *= cast.undo; });
}

// Rows of kBytes, from shared memory where they are kApart bytes apart, 16 bytes a lane.
template <int kBytes, int kApart>
DEMI_DEVICE void store_staged(const void* stage, void* first, int64_t apart, int rows) {
    constexpr int kUnits = kBytes / 16, kAtOnce = 32 / kUnits;
    int row = gpu::lane() / kUnits;
    const char* from = static_cast<const char*>(stage) + row * kApart + gpu::lane() % kUnits * 16;
    char* to = static_cast<char*>(first) + row * apart + gpu::lane() % kUnits * 16;
    DEMI_UNROLL
    for (int i = 0; i < 16 / kAtOnce; ++i) {
        if (row < rows) gpu::store16(to, gpu::load16(from));
        row += kAtOnce;
        from += kAtOnce * kApart;
        to += kAtOnce * apart;
    }
}

// The sums of a warp's rows to the result from element `first` on, 16 bytes at a time.
template <int kSize>
DEMI_DEVICE void store_in_eights(const RowsOut<kSize>& leaving, const AttentionResult& out, int64_t first,
                                 float (&acc)[kSize / 8][4], LaneCount& lost) {
    constexpr int kStride = RowsOut<kSize>::kStride;
    const int rows = leaving.rows;
    cast_sums<kSize>(acc, out, rows, lost);
    if (out.dtype == DType::f32) {
        leaving.take(acc, 1, 1);
        float* to = static_cast<float*>(out.data) + first;
        return store_staged<kSize * 4, kStride * 4>(leaving.stage, to, out.token * 4, rows);
    }
    uint16_t* stage = reinterpret_cast<uint16_t*>(leaving.stage);
    uint16_t* mine = stage + gpu::lane() / 4 * kStride + 2 * (gpu::lane() % 4);
    gpu::sync_warp();
    const auto put = [&](auto&& packed) {
        DEMI_UNROLL
        for (int n = 0; n < kSize / 8; ++n) {
            *reinterpret_cast<uint32_t*>(mine + 8 * n) = packed(acc[n][0], acc[n][1]);
            *reinterpret_cast<uint32_t*>(mine + 8 * n + 8 * kStride) = packed(acc[n][2], acc[n][3]);
        }
    };
    if (out.dtype == DType::f16)
        put([](float a, float b) { return gpu::pack_f16(a, b); });
    else
        put([](float a, float b) { return gpu::pack_bf16(a, b); });
    gpu::sync_warp();
    store_staged<kSize * 2, kStride * 2>(stage, static_cast<uint16_t*>(out.data) + first, out.token * 2,
                                         rows);
}

// The sums of a warp's rows, from `row` of the block on, times a factor for each of the lane's two, to the
// result, whose rows begin at `token`; counted. tiles: shared memory of the block. put_back(RowsOut) is for
// kMasked only. take_again(StagedRows) has them where that is wanted, or a number is not finite.
template <int kSize, bool kMasked, class PutBack, class TakeAgain>
DEMI_DEVICE void store_sums(uint16_t* tiles, const AttentionResult& out, const TilePlace& at, int row,
                            int64_t token, int64_t size, bool in_eights, float (&acc)[kSize / 8][4],
                            float factor, float other_factor, bool wanted, const PutBack& put_back,
                            const TakeAgain& take_again) {
    LaneCount lost;
    if (row < at.rows) {
        const RowsOut<kSize> leaving(tiles, at, row);
        const int64_t first = row_offset(out, at, token + row);
        const bool again = wanted || any_not_finite(acc, factor, other_factor);
        if constexpr (kMasked) {
            leaving.take(acc, factor, other_factor);
            put_back(leaving);
            if (again) take_again(leaving);
            leaving.store(out, first, size, in_eights, lost);
        } else if (in_eights && !again) {
            scale_rows(acc, factor, other_factor);
            store_in_eights<kSize>(leaving, out, first, acc, lost);
        } else {
            leaving.take(acc, factor, other_factor);
            if (again) take_again(leaving);
            store_by_elements(leaving, out, first, lost);
        }
    }
    add_counts(lost, gpu::shared<uint32_t>(), out.lost);
}

}  // namespace demi::gpu_kernels
