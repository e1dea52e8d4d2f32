#pragma once
// Internal, for .cu files: attention on tensor cores where nothing is in the way: every query of a segment
// sees all its keys, no bias, no dropout, one head size, rows of whole 16 bytes. What holds for all elements
// is settled before the loops, so that these are products and a handful of instructions for each score.
#include "ops/memory_efficient_attention/cuda/attention_backward_cuda.h"

namespace demi::gpu_kernels {

// Rows of a block: the registers of two such blocks fit into a multiprocessor.
template <int kSize> constexpr int kMostRows = kSize <= 64 ? 96 : 128;
template <int kSize> constexpr int kBlocks = kSize <= 64 ? 2 : 1;

// Tiles travel in units of eight elements. A thread's first unit, of rows that begin at element `first`: the
// others follow whole multiples of units_at_once() rows later.
template <int kSize> DEMI_DEVICE int64_t first_unit(const AttentionOperand& x, int64_t first) {
    const int t = static_cast<int>(gpu::thread_idx().x);
    return first + t / (kSize / 8) * x.token + t % (kSize / 8) * 8;
}
template <int kSize> DEMI_DEVICE int rows_at_once() {
    return static_cast<int>(gpu::block_dim().x) / (kSize / 8);
}

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
            load_eight(v, x.data, unit, x.dtype);
            DEMI_UNROLL
            for (int j = 0; j < 4; ++j)
                packed.w[j] = pack<kBf16>(cross(v[2 * j], x.cast), cross(v[2 * j + 1], x.cast));
        }
        gpu::store16(to, packed);
    }
}
template <int kSize>
DEMI_OUT_OF_LINE void store_by_elements(const RowsOut<kSize>& leaving, const AttentionResult& out,
                                        int64_t first, int rows, LaneCount& lost) {
    leaving.store(out, first, rows, kSize, false, lost);
}

// Rows of an operand to shared memory, from a thread's first unit on, zeros beyond `rows`. What needs no cast
// is on its way when this returns.
template <int kSize, bool kBf16>
DEMI_DEVICE void load_rows(uint16_t* tile, int capacity, const AttentionOperand& x, int64_t unit, int rows) {
    constexpr int kUnits = kSize / 8, kStride = kSize + 8;
    const int t = static_cast<int>(gpu::thread_idx().x), step = rows_at_once<kSize>();
    int row = t / kUnits;
    uint16_t* to = tile + row * kStride + t % kUnits * 8;
    if (x.dtype != (kBf16 ? DType::bf16 : DType::f16) || x.cast.round)
        return cast_rows<kSize, kBf16>(to, row, rows, capacity, x, unit);
    const uint16_t* from = static_cast<const uint16_t*>(x.data) + unit;
    const int64_t apart = step * x.token;
    for (; row < rows; row += step, to += step * kStride, from += apart) gpu::cp_async16(to, from, true);
    for (; row < capacity; row += step, to += step * kStride) gpu::store16(to, {});
}

// The next kRows rows, or `rest` where that is less, of the two operands that a
// kernel walks through together.
template <int kSize, bool kBf16, int kRows>
DEMI_DEVICE void load_next(uint16_t* tile, const AttentionOperand& x, int64_t& unit, uint16_t* other_tile,
                           const AttentionOperand& other, int64_t& other_unit, int rest) {
    const int rows = smaller(kRows, rest);
    load_rows<kSize, kBf16>(tile, kRows, x, unit, rows);
    load_rows<kSize, kBf16>(other_tile, kRows, other, other_unit, rows);
    unit += kRows * x.token;
    other_unit += kRows * other.token;
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

// The sums of a warp's rows, times a factor for each of the lane's two, to `rows` rows of the result from
// element `first` on. `tiles`: shared memory of the block, no longer needed.
template <int kSize>
DEMI_DEVICE void store_rows(uint16_t* tiles, const AttentionResult& out, int64_t first, int rows,
                            bool in_eights, float (&acc)[kSize / 8][4], float factor, float other_factor,
                            LaneCount& lost) {
    constexpr int kStride = kSize + 8;
    const RowsOut<kSize> leaving(tiles);
    if (!in_eights) {
        leaving.take(acc, factor, other_factor);
        return store_by_elements(leaving, out, first, rows, lost);
    }
    DEMI_UNROLL
    for (int n = 0; n < kSize / 8; ++n) {
        DEMI_UNROLL
        for (int e = 0; e < 4; ++e) acc[n][e] *= e < 2 ? factor : other_factor;
    }
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

// The same, once take_again(rows of f32 in shared memory) has had them: where that is wanted, or a number is
// not finite.
template <int kSize, class F>
DEMI_DEVICE void store_rows(uint16_t* tiles, const AttentionResult& out, int64_t first, int rows,
                            bool in_eights, float (&acc)[kSize / 8][4], float factor, float other_factor,
                            LaneCount& lost, bool wanted, const F& take_again) {
    if (!wanted && !any_not_finite(acc, factor, other_factor))
        return store_rows<kSize>(tiles, out, first, rows, in_eights, acc, factor, other_factor, lost);
    const RowsOut<kSize> leaving(tiles);
    leaving.take(acc, factor, other_factor);
    take_again(leaving.stage);
    store_by_elements(leaving, out, first, rows, lost);
}

// Products of the warp's rows with `kCount` rows of a tile: -infinity from column `here` on and in rows that
// are not real. With kWhole there are no such rows and columns.
template <int kSize, int kCount, bool kBf16, bool kWhole>
DEMI_DEVICE void scores(float (&s)[kCount / 8][4], const LeftRows<kSize>& left, const uint16_t* tile,
                        int here, bool row_is_real = true, bool row_8_is_real = true) {
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
