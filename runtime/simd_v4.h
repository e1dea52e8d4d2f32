#pragma once
// simd.h for x86-64-v4: 16 lanes.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the deliberately undefined operands inside its own AVX-512 intrinsics
// for mistakes of the caller.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

namespace demi::DEMI_BACKEND {

using vf = __m512;
using vi = __m512i;
using vm = __mmask16;
constexpr int kLanes = 16;
constexpr int kRegisters = 32;

DEMI_INLINE vf zero() { return _mm512_setzero_ps(); }
DEMI_INLINE vf broadcast(float x) { return _mm512_set1_ps(x); }
DEMI_INLINE vf lane_ids() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
DEMI_INLINE vm first_lanes(int n) { return static_cast<vm>((1u << n) - 1u); }

DEMI_INLINE vf load(const float* p) { return _mm512_load_ps(p); }
DEMI_INLINE vf loadu(const float* p) { return _mm512_loadu_ps(p); }
DEMI_INLINE vf load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
DEMI_INLINE void store(float* p, vf x) { _mm512_store_ps(p, x); }
DEMI_INLINE void storeu(float* p, vf x) { _mm512_storeu_ps(p, x); }
DEMI_INLINE void store_n(float* p, vf x, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), x); }

DEMI_INLINE vf from_f16(__m256i h) { return _mm512_cvtph_ps(h); }
DEMI_INLINE __m256i to_f16(vf x) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
DEMI_INLINE vf from_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
DEMI_INLINE __m256i to_bf16(vf x) {
    const vi u = _mm512_castps_si512(x);
    const vi odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const vi rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const vi quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const vm nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}

DEMI_INLINE __m256i load_u16(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
DEMI_INLINE __m256i load_u16_n(const void* p, int n) { return _mm256_maskz_loadu_epi16(first_lanes(n), p); }
DEMI_INLINE void store_u16(void* p, __m256i h) { _mm256_storeu_si256(static_cast<__m256i*>(p), h); }
DEMI_INLINE void store_u16_n(void* p, __m256i h, int n) { _mm256_mask_storeu_epi16(p, first_lanes(n), h); }

DEMI_INLINE vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
DEMI_INLINE vf fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
DEMI_INLINE vf min(vf a, vf b) { return _mm512_min_ps(a, b); }
DEMI_INLINE vf max(vf a, vf b) { return _mm512_max_ps(a, b); }
DEMI_INLINE vf sqrt(vf a) { return _mm512_sqrt_ps(a); }
DEMI_INLINE vf abs(vf a) { return _mm512_abs_ps(a); }

DEMI_INLINE vm less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
DEMI_INLINE vm less_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
DEMI_INLINE vm equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
DEMI_INLINE vm mask_and(vm a, vm b) { return static_cast<vm>(a & b); }
DEMI_INLINE vm mask_or(vm a, vm b) { return static_cast<vm>(a | b); }
DEMI_INLINE vm mask_not(vm a) { return static_cast<vm>(~a); }
DEMI_INLINE bool any(vm m) { return m != 0; }
DEMI_INLINE vf select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }

// x * 2^n for whole n: exact, or correctly rounded where the result is subnormal.
DEMI_INLINE vf scale_by_exponent(vf x, vf n) { return _mm512_scalef_ps(x, n); }
// 2^n for whole n in [-126, 127].
DEMI_INLINE vf power_of_two(vf n) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
// x * 2^n for such n.
DEMI_INLINE vf scale_by_power(vf x, vf n) { return _mm512_scalef_ps(x, n); }

DEMI_INLINE float hsum4(__m128 q) {
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
DEMI_INLINE float hmax4(__m128 q) {
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
DEMI_INLINE __m256 upper_half(vf x) { return _mm512_extractf32x8_ps(x, 1); }
DEMI_INLINE float hsum(vf x) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), upper_half(x));
    return hsum4(_mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
DEMI_INLINE float hmax(vf x) {
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(x), upper_half(x));
    return hmax4(_mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}

}  // namespace demi::DEMI_BACKEND
