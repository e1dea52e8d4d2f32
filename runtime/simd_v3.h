#pragma once
// simd.h for x86-64-v3: 8 lanes.
#include <immintrin.h>

namespace demi::DEMI_BACKEND {

using vf = __m256;
using vi = __m256i;
using vm = __m256;
constexpr int kLanes = 8;
constexpr int kRegisters = 16;

DEMI_INLINE vf zero() { return _mm256_setzero_ps(); }
DEMI_INLINE vf broadcast(float x) { return _mm256_set1_ps(x); }
DEMI_INLINE vf lane_ids() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
DEMI_INLINE vi first_lanes_int(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
DEMI_INLINE vm first_lanes(int n) { return _mm256_castsi256_ps(first_lanes_int(n)); }

DEMI_INLINE vf load(const float* p) { return _mm256_load_ps(p); }
DEMI_INLINE vf loadu(const float* p) { return _mm256_loadu_ps(p); }
DEMI_INLINE vf load_n(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes_int(n)); }
DEMI_INLINE void store(float* p, vf x) { _mm256_store_ps(p, x); }
DEMI_INLINE void storeu(float* p, vf x) { _mm256_storeu_ps(p, x); }
DEMI_INLINE void store_n(float* p, vf x, int n) { _mm256_maskstore_ps(p, first_lanes_int(n), x); }

DEMI_INLINE vf from_f16(__m128i h) { return _mm256_cvtph_ps(h); }
DEMI_INLINE __m128i to_f16(vf x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
DEMI_INLINE vf from_bf16(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
DEMI_INLINE __m128i to_bf16(vf x) {
    const vi u = _mm256_castps_si256(x);
    const vi odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const vi rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const vi quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const vi nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const vi high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    const vi packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
    return _mm256_castsi256_si128(packed);
}

DEMI_INLINE __m128i load_u16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
DEMI_INLINE __m128i load_u16_n(const void* p, int n) {
    uint16_t tmp[8] = {};
    __builtin_memcpy(tmp, p, static_cast<size_t>(n) * 2);
    return load_u16(tmp);
}
DEMI_INLINE void store_u16(void* p, __m128i h) { _mm_storeu_si128(static_cast<__m128i*>(p), h); }
DEMI_INLINE void store_u16_n(void* p, __m128i h, int n) {
    uint16_t tmp[8];
    store_u16(tmp, h);
    __builtin_memcpy(p, tmp, static_cast<size_t>(n) * 2);
}

DEMI_INLINE vf fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
DEMI_INLINE vf fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
DEMI_INLINE vf min(vf a, vf b) { return _mm256_min_ps(a, b); }
DEMI_INLINE vf max(vf a, vf b) { return _mm256_max_ps(a, b); }
DEMI_INLINE vf sqrt(vf a) { return _mm256_sqrt_ps(a); }
DEMI_INLINE vf abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }

DEMI_INLINE vm less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
DEMI_INLINE vm less_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
DEMI_INLINE vm equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
DEMI_INLINE vm mask_and(vm a, vm b) { return _mm256_and_ps(a, b); }
DEMI_INLINE vm mask_or(vm a, vm b) { return _mm256_or_ps(a, b); }
DEMI_INLINE vm mask_not(vm a) { return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
DEMI_INLINE bool any(vm m) { return _mm256_movemask_ps(m) != 0; }
DEMI_INLINE vf select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }

// 2^n for whole n in [-126, 127].
DEMI_INLINE vf power_of_two(vf n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
// x * 2^n for such n.
DEMI_INLINE vf scale_by_power(vf x, vf n) { return x * power_of_two(n); }
// x * 2^n for whole n in [-252, 254]: exact, or correctly rounded where the result is subnormal.
DEMI_INLINE vf scale_by_exponent(vf x, vf n) {
    const vi k = _mm256_cvtps_epi32(n);
    const vi first = _mm256_srai_epi32(k, 1);
    const vi second = _mm256_sub_epi32(k, first);
    const vi one = _mm256_set1_epi32(127);
    const vf a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, one), 23));
    const vf b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(second, one), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}

DEMI_INLINE float hsum(vf x) {
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
DEMI_INLINE float hmax(vf x) {
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

}  // namespace demi::DEMI_BACKEND
