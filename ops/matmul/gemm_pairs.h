#pragma once
// Packing for products in bf16 on processors that multiply it: two neighbours of the depth as bf16 in one word of 32 bits,
// as vdpbf16ps and the tiles of AMX read them. Scratch holds words where it holds floats otherwise (gemm_pack.h); words
// beyond the depth are zero.
#include "ops/matmul/gemm_pack.h"

#if defined(__AVX512F__)
namespace demi::DEMI_BACKEND {

template <class T> constexpr bool kEntersAsBf16 = false;
template <> constexpr bool kEntersAsBf16<BFloat16> = true;
template <> constexpr bool kEntersAsBf16<f32_as<BFloat16>> = true;
template <> constexpr bool kEntersAsBf16<gelu_of<BFloat16>> = true;

// As with_type(), of these.
template <class F> DEMI_INLINE void with_bf16_type(const Stored& s, F f) {
    with_type(s, [&]<class T>(const T* typed) {
        if constexpr (kEntersAsBf16<T>) f(typed);
    });
}

template <class T> DEMI_INLINE __m256i bf16_bits(const T* p) { return to_bf16(loadu(p)); }
template <class T> DEMI_INLINE __m256i bf16_bits(const T* p, int n) { return to_bf16(load_n(p, n)); }
DEMI_INLINE __m256i bf16_bits(const BFloat16* p) { return load_u16(p); }
DEMI_INLINE __m256i bf16_bits(const BFloat16* p, int n) { return load_u16_n(p, n); }

DEMI_INLINE void store_pairs(float* out, __m256i even, __m256i odd) {
    const __m512i low = _mm512_cvtepu16_epi32(even), high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
    store(out, _mm512_castsi512_ps(_mm512_or_si512(low, high)));
}
template <class T> DEMI_INLINE void store_pair(float* out, const T* even, const T* odd) {
    const int low = even == nullptr ? 0 : _mm256_extract_epi16(bf16_bits(even, 1), 0);
    const int high = odd == nullptr ? 0 : _mm256_extract_epi16(bf16_bits(odd, 1), 0);
    const uint32_t word = static_cast<uint32_t>(low & 0xffff) | static_cast<uint32_t>(high) << 16;
    __builtin_memcpy(out, &word, sizeof word);
}

// Eight words from sixteen elements, for transpose_block().
template <class T> struct pairs_of { T value; };
template <class T> DEMI_INLINE __m256 load8(const pairs_of<T>* p) {
    return _mm256_castsi256_ps(bf16_bits(&p->value));
}

// Rows of A as they are, in bf16.
template <class T>
static void copy_a_pairs(const T* a, int64_t row, int64_t col, int64_t rows, int depth, int words, float* out,
                         int64_t stride) {
    for (int64_t m = 0; m < rows; ++m, a += row, out += stride) {
        int k = 0;
        if (col == 1)
            for (; k + kLanes <= depth; k += kLanes) store_u16(out + k / 2, bf16_bits(a + k));
        for (; k < 2 * words; k += 2) {
            const T* even = k < depth ? a + k * col : nullptr;
            store_pair(out + k / 2, even, k + 1 < depth ? a + (k + 1) * col : nullptr);
        }
    }
}

// As pack_b_panels().
template <int kNr, class T>
static void pack_b_pairs(const T* b, int64_t row, int64_t col, int64_t depth, int64_t words, int64_t cols,
                         float* out, int64_t stride) {
    for (; cols > 0; cols -= kNr, b += kNr * col, out += stride) {
        const int count = static_cast<int>(cols < kNr ? cols : kNr);
        int64_t w = 0;
        if (col == 1) {
            for (; w < words; ++w) {
                const T *even = b + 2 * w * row, *odd = even + row;
                for (int j = 0; j < kNr; j += kLanes) {
                    if (2 * w + kRowsAhead < depth) {
                        __builtin_prefetch(even + kRowsAhead * row + j);
                        __builtin_prefetch(odd + kRowsAhead * row + j);
                    }
                    const auto bits = [&](const T* p, int64_t k) {
                        const int n = k < depth && count > j ? count - j : 0;
                        return n >= kLanes ? bf16_bits(p + j)
                               : n > 0     ? bf16_bits(p + j, n)
                                           : _mm256_setzero_si256();
                    };
                    store_pairs(out + w * kNr + j, bits(even, 2 * w), bits(odd, 2 * w + 1));
                }
            }
        } else if (row == 1 && count == kNr) {
            for (; 2 * (w + kTransposeSize) <= depth; w += kTransposeSize)
                for (int j = 0; j < kNr; j += kTransposeSize)
                    transpose_block(reinterpret_cast<const pairs_of<T>*>(b + j * col + 2 * w), col,
                                    out + w * kNr + j, kNr);
        }
        for (; w < words; ++w)
            for (int j = 0; j < kNr; ++j) {
                const T* even = j < count && 2 * w < depth ? b + 2 * w * row + j * col : nullptr;
                store_pair(out + w * kNr + j, even,
                           2 * w + 1 < depth && even != nullptr ? even + row : nullptr);
            }
    }
}

// As pack_a_panels(), for panels of kLanes rows; or, kInRows, turned to rows of words that are `stride` apart.
template <bool kInRows, class T>
static void pack_a_pairs(const T* a, int64_t col, int64_t rows, int depth, int words, float* out,
                         int64_t stride, float* sums) {
    for (int64_t m = 0; m < rows; m += kLanes, a += kLanes, out += kInRows ? kLanes * stride : stride) {
        const int count = static_cast<int>(rows - m < kLanes ? rows - m : kLanes);
        alignas(64) float block[kTransposeSize * kLanes];
        vf sum = zero();
        for (int w = 0; w < words; ++w) {
            const auto bits = [&](int k) {
                if (k >= depth) return _mm256_setzero_si256();
                return count == kLanes ? bf16_bits(a + k * col) : bf16_bits(a + k * col, count);
            };
            const __m256i even = bits(2 * w), odd = bits(2 * w + 1);
            sum = (sum + from_bf16(even)) + from_bf16(odd);
            store_pairs(kInRows ? block + w % kTransposeSize * kLanes : out + w * kLanes, even, odd);
            if (!kInRows || (w + 1) % kTransposeSize != 0) continue;
            for (int i = 0; i < kLanes; i += kTransposeSize)
                transpose_block(block + i, kLanes, out + i * stride + w + 1 - kTransposeSize, stride);
        }
        if (sums != nullptr) store(sums + m, loadu(sums + m) + sum);
    }
}

}  // namespace demi::DEMI_BACKEND
#endif
