#pragma once
// Packing for the product of the CPU: copies blocks of A and panels of B into scratch as floats.
#include "runtime/simd.h"

namespace demi::DEMI_BACKEND {

// How an operand is stored. f32_as_f16 and f32_as_bf16 are floats that are rounded to that format while they
// are packed; gelu_of_... means gelu of what is stored, rounded to the stored format.
enum class GemmType { f32, f16, bf16, f32_as_f16, f32_as_bf16, gelu_of_f32, gelu_of_f16, gelu_of_bf16 };

// Bytes of a stored element.
DEMI_INLINE int64_t stored_size(GemmType type) {
    switch (type) {
    case GemmType::f16:
    case GemmType::bf16:
    case GemmType::gelu_of_f16:
    case GemmType::gelu_of_bf16: return 2;
    default: return 4;
    }
}

// A matrix as it is stored: element (i, j) at p[i * row + j * col].
struct Stored {
    const void* p;
    GemmType type;
    int64_t row, col;

    Stored after(int64_t elements) const {
        return {static_cast<const char*>(p) + elements * stored_size(type), type, row, col};
    }
    Stored from(int64_t i, int64_t j) const { return after(i * row + j * col); }
};

DEMI_INLINE vf rounded_like(vf x, const float*) { return x; }
DEMI_INLINE vf rounded_like(vf x, const Half*) { return round_f16(x); }
DEMI_INLINE vf rounded_like(vf x, const BFloat16*) { return round_bf16(x); }

// Floats that are rounded to a 16-bit format as they are read.
template <class T> struct f32_as { float value; };

template <class T> DEMI_INLINE vf loadu(const f32_as<T>* p) {
    return rounded_like(loadu(&p->value), static_cast<const T*>(nullptr));
}
template <class T> DEMI_INLINE vf load_n(const f32_as<T>* p, int n) {
    return rounded_like(load_n(&p->value, n), static_cast<const T*>(nullptr));
}
template <class T> DEMI_INLINE float to_float(f32_as<T> x) {
    T rounded;
    from_float(x.value, &rounded);
    return to_float(rounded);
}

// gelu of a stored value, as if it had been stored itself.
template <class T> struct gelu_of { T value; };

template <class T> DEMI_INLINE vf loadu(const gelu_of<T>* p) {
    return rounded_like(gelu(loadu(&p->value)), &p->value);
}
template <class T> DEMI_INLINE vf load_n(const gelu_of<T>* p, int n) {
    return rounded_like(gelu(load_n(&p->value, n)), &p->value);
}
template <class T> DEMI_INLINE float to_float(gelu_of<T> x) {
    float lanes[kLanes];
    storeu(lanes, load_n(&x, 1));
    return lanes[0];
}

// Calls f(pointer of the element type).
template <class F> DEMI_INLINE void with_type(const Stored& s, F f) {
    const void* p = s.p;
    switch (s.type) {
    case GemmType::f32: return f(static_cast<const float*>(p));
    case GemmType::f16: return f(static_cast<const Half*>(p));
    case GemmType::bf16: return f(static_cast<const BFloat16*>(p));
    case GemmType::f32_as_f16: return f(static_cast<const f32_as<Half>*>(p));
    case GemmType::f32_as_bf16: return f(static_cast<const f32_as<BFloat16>*>(p));
    case GemmType::gelu_of_f32: return f(static_cast<const gelu_of<float>*>(p));
    case GemmType::gelu_of_f16: return f(static_cast<const gelu_of<Half>*>(p));
    case GemmType::gelu_of_bf16: return f(static_cast<const gelu_of<BFloat16>*>(p));
    }
}

// A block of kTransposeSize rows of kTransposeSize elements (row stride ld) is written
// transposed to out (row stride ldo).
#if defined(__AVX2__)
constexpr int kTransposeSize = 8;

DEMI_INLINE __m256 load8(const float* p) { return _mm256_loadu_ps(p); }
DEMI_INLINE __m256 load8(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
DEMI_INLINE __m256 load8(const BFloat16* p) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
DEMI_INLINE __m256 load8(const f32_as<Half>* p) {
    return _mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(&p->value), _MM_FROUND_TO_NEAREST_INT));
}
template <class T> DEMI_INLINE __m256 load8(const T* p) {
    float rounded[kLanes];
    storeu(rounded, load_n(p, 8));
    return _mm256_loadu_ps(rounded);
}

template <class T> DEMI_INLINE void transpose_block(const T* in, int64_t ld, float* out, int64_t ldo) {
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = load8(in + i * ld);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(out + i * ldo, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (i + 4) * ldo, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#else
constexpr int kTransposeSize = 4;

template <class T> DEMI_INLINE void transpose_block(const T* in, int64_t ld, float* out, int64_t ldo) {
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) out[j * ldo + i] = to_float(in[i * ld + j]);
}
#endif

// How many rows ahead memory is asked for while rows that lie far apart are read: the hardware
// does not see that pattern.
constexpr int kRowsAhead = 8;

// kGroup whole panels with unit column stride, filled together so that rows are read in long runs.
template <int kNr, int kGroup, class T>
DEMI_INLINE void pack_b_rows(const T* b, int64_t row, int64_t depth, float* out, int64_t stride) {
    for (int64_t k = 0; k < depth; ++k, b += row, out += kNr) {
        if (k + kRowsAhead < depth) {
#pragma GCC unroll 16
            for (int j = 0; j < kGroup * kNr; j += static_cast<int>(64 / sizeof(T)))
                __builtin_prefetch(b + kRowsAhead * row + j);
        }
#pragma GCC unroll 16
        for (int j = 0; j < kGroup * kNr; j += kLanes) store(out + j / kNr * stride + j % kNr, loadu(b + j));
    }
}

// The last panel, of fewer than kNr columns.
template <int kNr, class T>
DEMI_INLINE void pack_b_rest(const T* b, int64_t row, int64_t depth, int cols, float* out) {
    for (int64_t k = 0; k < depth; ++k, b += row, out += kNr) {
        for (int j = 0; j < kNr; j += kLanes) {
            const int n = cols - j;
            store(out + j, n >= kLanes ? loadu(b + j) : n > 0 ? load_n(b + j, n) : zero());
        }
    }
}

// Columns [0, cols) of b over k in [0, depth): panels out[panel * stride + k * kNr + j], zero padded.
template <int kNr, class T>
static void pack_b_panels(const T* b, int64_t row, int64_t col, int64_t depth, int64_t cols, float* out,
                          int64_t stride) {
    constexpr int kGroup = 4;
    constexpr int kSize = kTransposeSize;
    if (col == 1) {
        int64_t n = 0;
        for (; n + kGroup * kNr <= cols; n += kGroup * kNr)
            pack_b_rows<kNr, kGroup>(b + n, row, depth, out + n / kNr * stride, stride);
        for (; n + kNr <= cols; n += kNr)
            pack_b_rows<kNr, 1>(b + n, row, depth, out + n / kNr * stride, stride);
        if (n < cols) pack_b_rest<kNr>(b + n, row, depth, static_cast<int>(cols - n), out + n / kNr * stride);
        return;
    }
    for (int64_t n = 0; n < cols; n += kNr, b += kNr * col, out += stride) {
        const int count = static_cast<int>(cols - n < kNr ? cols - n : kNr);
        int64_t k = 0;
        if (row == 1 && count == kNr) {
            for (; k + kSize <= depth; k += kSize)
                for (int j = 0; j < kNr; j += kSize)
                    transpose_block(b + j * col + k, col, out + k * kNr + j, kNr);
        }
        for (; k < depth; ++k) {
            for (int j = 0; j < count; ++j) out[k * kNr + j] = to_float(b[k * row + j * col]);
            for (int j = count; j < kNr; ++j) out[k * kNr + j] = 0.f;
        }
    }
}

// Rows of A as they are: out[m * stride + k].
template <class T>
static void copy_a_rows(const T* a, int64_t row, int64_t col, int64_t rows, int depth, float* out,
                        int64_t stride) {
    constexpr int kRows = 4;  // rows that memory is asked for ahead
    for (int64_t m = 0; m < rows; ++m, a += row, out += stride) {
        int k = 0;
        if (col == 1) {
            const T* ahead = m + kRows < rows ? a + kRows * row : a;
            constexpr int kLine = static_cast<int>(64 / sizeof(T));
            for (; k + kLine <= depth; k += kLine) {
                __builtin_prefetch(ahead + k);
#pragma GCC unroll 8
                for (int i = 0; i < kLine; i += kLanes) storeu(out + k + i, loadu(a + k + i));
            }
            for (; k + kLanes <= depth; k += kLanes) storeu(out + k, loadu(a + k));
            if (k < depth) storeu(out + k, load_n(a + k, depth - k));
        } else {
            for (; k < depth; ++k) out[k] = to_float(a[k * col]);
        }
    }
}

// A with unit stride along m: panels of kRows rows, out[panel * stride + k * kLanes + i]. sums (or null):
// adds the sum over k of each row, kLanes floats for each panel.
template <int kRows, class T>
static void pack_a_panels(const T* a, int64_t col, int64_t rows, int depth, float* out, int64_t stride,
                          float* sums) {
    static_assert(kRows <= kLanes);
    // Panels that are filled together, so that a row of memory is read in long runs.
    constexpr int kGroup = 4;
    const int64_t panels = (rows + kRows - 1) / kRows;
    for (int64_t p0 = 0; p0 < panels; p0 += kGroup) {
        const int count = static_cast<int>(panels - p0 < kGroup ? panels - p0 : kGroup);
        const T* source = a + p0 * kRows;
        const int64_t left = rows - p0 * kRows;
        float* target = out + p0 * stride;
        vf sum[kGroup];
#pragma GCC unroll 4
        for (int p = 0; p < kGroup; ++p) sum[p] = zero();
        if (count == kGroup && left >= (kGroup - 1) * kRows + kLanes) {
            for (int k = 0; k < depth; ++k, source += col) {
                if (k + kRowsAhead < depth) {
#pragma GCC unroll 4
                    for (int p = 0; p < kGroup; ++p)
                        __builtin_prefetch(source + kRowsAhead * col + p * kRows);
                }
#pragma GCC unroll 4
                for (int p = 0; p < kGroup; ++p) {
                    const vf x = loadu(source + p * kRows);
                    store(target + p * stride + k * kLanes, x);
                    sum[p] = sum[p] + x;
                }
            }
        } else {
            for (int k = 0; k < depth; ++k, source += col) {
#pragma GCC unroll 4
                for (int p = 0; p < kGroup; ++p) {
                    if (p >= count) continue;
                    const int64_t n = left - p * kRows;
                    const vf x = n >= kLanes ? loadu(source + p * kRows)
                                             : load_n(source + p * kRows, static_cast<int>(n));
                    store(target + p * stride + k * kLanes, x);
                    sum[p] = sum[p] + x;
                }
            }
        }
        if (sums == nullptr) continue;
#pragma GCC unroll 4
        for (int p = 0; p < kGroup; ++p) {
            if (p >= count) continue;
            float* s = sums + (p0 + p) * kLanes;
            store(s, loadu(s) + sum[p]);
        }
    }
}

}  // namespace demi::DEMI_BACKEND
