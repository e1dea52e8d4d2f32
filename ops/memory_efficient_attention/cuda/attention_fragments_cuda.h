#pragma once
// Internal, for .cu files: tiles in shared memory as factors on tensor cores. A tile is rows of kSize + 8
// 16-bit elements (the 8 keep ldmatrix free of bank conflicts). A product's result C holds, in lane 4g + t
// and for columns 8n: c[n][0..1] row g, columns 2t and 2t + 1; c[n][2..3] row g + 8.
#include "ops/memory_efficient_attention/cuda/attention_access_cuda.h"

namespace demi::gpu_kernels {

DEMI_HOST_DEVICE int round_up_16(int64_t x) { return static_cast<int>((x + 15) / 16 * 16); }

inline int64_t padded_size(int64_t size) { return size <= 64 ? 64 : size <= 128 ? 128 : 256; }
// Of the kernels that take a tile of queries through the keys: keys of a tile.
DEMI_HOST_DEVICE constexpr int keys_of_tile(int64_t padded) {
    return padded <= 64 ? 64 : padded <= 128 ? 32 : 16;
}
// Of the others: queries of a tile.
DEMI_HOST_DEVICE constexpr int queries_of_tile(int64_t padded) { return padded <= 128 ? 32 : 16; }

template <bool kBf16> DEMI_DEVICE uint32_t pack(float low, float high) {
    return kBf16 ? gpu::pack_bf16(low, high) : gpu::pack_f16(low, high);
}
template <bool kBf16> DEMI_DEVICE float unpack_one(uint16_t bits) {
    return kBf16 ? gpu::bf16_to_float(bits) : gpu::half_to_float(bits);
}
template <bool kBf16>
DEMI_DEVICE void multiply_16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    const uint32_t b[2] = {b0, b1};
    if constexpr (kBf16)
        gpu::mma_m16n8k16_bf16(d, a, b);
    else
        gpu::mma_m16n8k16_f16(d, a, b);
}

// ---- fragments: 16 rows from `row`, 16 columns from `column`
// As the left factor.
template <int kSize> DEMI_DEVICE void load_left(uint32_t (&r)[4], const uint16_t* tile, int row, int column) {
    const int l = gpu::lane();
    gpu::ldmatrix_x4(r, tile + (row + l % 16) * (kSize + 8) + column + l / 16 * 8);
}
// As the right factor, transposed: the rows are the result's columns. r[0..1] for the first 8
// rows, r[2..3] the others.
template <int kSize>
DEMI_DEVICE void load_right_transposed(uint32_t (&r)[4], const uint16_t* tile, int row, int column) {
    const int l = gpu::lane();
    gpu::ldmatrix_x4(r, tile + (row + l % 8 + l / 16 * 8) * (kSize + 8) + column + l / 8 % 2 * 8);
}
// As the right factor: the columns are the result's. r[0..1] for the first 8 columns, r[2..3] the others.
template <int kSize>
DEMI_DEVICE void load_right(uint32_t (&r)[4], const uint16_t* tile, int row, int column) {
    const int l = gpu::lane();
    gpu::ldmatrix_x4_trans(r, tile + (row + l % 16) * (kSize + 8) + column + l / 16 * 8);
}

// Left factors of a whole row block: in registers where they fit, else loaded again and again.
template <int kSize> struct LeftRows {
    static constexpr bool kHeld = kSize <= 64;
    const uint16_t* tile = nullptr;
    int row = 0;
    uint32_t held[kHeld ? kSize / 16 : 1][4];

    DEMI_DEVICE void load(const uint16_t* from, int first, int64_t size) {
        tile = from;
        row = first;
        if constexpr (kHeld) {
            DEMI_UNROLL
            for (int k = 0; k < kSize / 16; ++k) {
                if (16 * k >= size) break;
                load_left<kSize>(held[k], tile, row, 16 * k);
            }
        }
    }
    DEMI_DEVICE void get(uint32_t (&r)[4], int k) const {
        if constexpr (kHeld) {
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) r[i] = held[k][i];
        } else {
            load_left<kSize>(r, tile, row, 16 * k);
        }
    }
};

// c += left * tile^T, for `columns` rows of the tile in whole sixteens.
template <int kSize, int kColumns, bool kBf16>
DEMI_DEVICE void add_transposed(float (&c)[kColumns / 8][4], const LeftRows<kSize>& left,
                                const uint16_t* tile, int columns, int64_t size) {
    DEMI_UNROLL
    for (int k = 0; k < kSize / 16; ++k) {
        if (16 * k >= size) break;
        uint32_t a[4];
        left.get(a, k);
        DEMI_UNROLL
        for (int n = 0; n < kColumns / 16; ++n) {
            if (16 * n >= columns) break;
            uint32_t b[4];
            load_right_transposed<kSize>(b, tile, 16 * n, 16 * k);
            multiply_16<kBf16>(c[2 * n], a, b[0], b[1]);
            multiply_16<kBf16>(c[2 * n + 1], a, b[2], b[3]);
        }
    }
}

// A lane's row g (half 0) or g + 8 (1) times a factor; both rows.
template <int kCount> DEMI_DEVICE void scale_half(float (&x)[kCount][4], int half, float factor) {
    DEMI_UNROLL
    for (int n = 0; n < kCount; ++n) {
        x[n][2 * half] *= factor;
        x[n][2 * half + 1] *= factor;
    }
}
template <int kCount> DEMI_DEVICE void scale_rows(float (&x)[kCount][4], float factor, float other_factor) {
    scale_half(x, 0, factor);
    scale_half(x, 1, other_factor);
}

// The same for `kCount` rows of a tile: -infinity from column `here` on and in rows that
// are not real. With kWhole there are no such rows and columns.
template <int kSize, int kCount, bool kBf16, bool kWhole>
DEMI_DEVICE void scores(float (&s)[kCount / 8][4], const LeftRows<kSize>& left, const uint16_t* tile,
                        int here, bool row_is_real = true, bool row_8_is_real = true) {
    add_transposed<kSize, kCount, kBf16>(s, left, tile, kCount, kSize);
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

// acc += c * tile, c rounded to 16 bits; `rows` of the tile in whole sixteens.
template <int kSize, int kRows, bool kBf16>
DEMI_DEVICE void multiply_add_rows(float (&acc)[kSize / 8][4], const float (&c)[kRows / 8][4],
                                   const uint16_t* tile, int rows, int64_t size) {
    DEMI_UNROLL
    for (int k = 0; k < kRows / 16; ++k) {
        if (16 * k >= rows) break;
        const uint32_t a[4] = {pack<kBf16>(c[2 * k][0], c[2 * k][1]), pack<kBf16>(c[2 * k][2], c[2 * k][3]),
                               pack<kBf16>(c[2 * k + 1][0], c[2 * k + 1][1]),
                               pack<kBf16>(c[2 * k + 1][2], c[2 * k + 1][3])};
        DEMI_UNROLL
        for (int n = 0; n < kSize / 16; ++n) {
            if (16 * n >= size) break;
            uint32_t b[4];
            load_right<kSize>(b, tile, 16 * k, 16 * n);
            multiply_16<kBf16>(acc[2 * n], a, b[0], b[1]);
            multiply_16<kBf16>(acc[2 * n + 1], a, b[2], b[3]);
        }
    }
}

// Over the four lanes that share a row.
DEMI_DEVICE float row_sum(float x) {
    x += gpu::shfl_xor(x, 1);
    return x + gpu::shfl_xor(x, 2);
}
DEMI_DEVICE float row_max(float x) {
    float other = gpu::shfl_xor(x, 1);
    x = other > x ? other : x;
    other = gpu::shfl_xor(x, 2);
    return other > x ? other : x;
}

}  // namespace demi::gpu_kernels
