#include "ops/dropout/dropout_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

// One counter word in each 64-bit lane, in its lower half; the upper half is never looked at.
typedef uint64_t Words __attribute__((vector_size(sizeof(vf))));
constexpr int kPerGroup = static_cast<int>(sizeof(vf) / 8), kGroups = 4;
constexpr int kBlocks = kGroups * kPerGroup;  // Philox blocks that run side by side
constexpr int kWords = 4 * kBlocks;

// The full product of the lower halves.
DEMI_INLINE Words multiply(Words a, Words b) {
#if defined(__AVX512F__)
    return reinterpret_cast<Words>(
        _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<Words>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// a0 b0 a1 b1 ...
DEMI_INLINE void interleave(Words a, Words b, Words* out) {
    for (int l = 0; l < kPerGroup; ++l) {
        const int at = 2 * l;
        out[at / kPerGroup][at % kPerGroup] = a[l];
        out[(at + 1) / kPerGroup][(at + 1) % kPerGroup] = b[l];
    }
}

// Philox-4x32-10 on blocks block .. block + kBlocks - 1: words in stream order.
DEMI_INLINE void philox(uint64_t seed, uint64_t block, uint32_t* words) {
    Words c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
    const Words zeros = {};
    Words ids = {};
    for (int l = 0; l < kPerGroup; ++l) ids[l] = static_cast<uint64_t>(l);
    const Words m0 = zeros + 0xD2511F53u, m1 = zeros + 0xCD9E8D57u;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
        c0[g] = ids + (block + static_cast<uint64_t>(g * kPerGroup));
        c1[g] = c0[g] >> 32;
        c2[g] = c3[g] = zeros;
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const Words key0 = zeros + k0, key1 = zeros + k1;
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            const Words a = multiply(m0, c0[g]), b = multiply(m1, c2[g]);
            c0[g] = (b >> 32) ^ c1[g] ^ key0;
            c1[g] = b;
            c2[g] = (a >> 32) ^ c3[g] ^ key1;
            c3[g] = a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
        Words out[2] = {};
        interleave((c0[g] & 0xffffffffu) | c1[g] << 32, (c2[g] & 0xffffffffu) | c3[g] << 32, out);
        __builtin_memcpy(words + 4 * g * kPerGroup, out, sizeof out);
    }
}

template <class T>
void apply(const void* x_, void* y_, int64_t count, uint64_t seed, uint64_t block, uint32_t threshold,
           float scale) {
    const T* x = static_cast<const T*>(x_);
    T* y = static_cast<T*>(y_);
    alignas(64) uint32_t words[kWords];
    alignas(64) float factor[kWords];
    for (int64_t at = 0; at < count; at += kWords, block += kBlocks) {
        philox(seed, block, words);
        for (int i = 0; i < kWords; ++i) factor[i] = (words[i] >> 8) >= threshold ? scale : 0.f;
        const int64_t some = count - at < kWords ? count - at : kWords;
        for_lanes(
            some, DEMI_LANES {
                const vf f = load(factor + i);
                put(y + at + i, select(less(zero(), f), get(x + at + i, n) * f, zero()), n);
            });
    }
}

template <class T> void scale(const void* x_, void* y_, int64_t count, float factor) {
    const T* x = static_cast<const T*>(x_);
    T* y = static_cast<T*>(y_);
    const vf f = broadcast(factor);
    for_lanes(
        count, DEMI_LANES { put(y + i, get(x + i, n) * f, n); });
}

}  // namespace

extern const DropoutIsa dropout_isa;
const DropoutIsa dropout_isa = {{apply<Half>, apply<BFloat16>, apply<float>},
                                {scale<Half>, scale<BFloat16>, scale<float>}};

}  // namespace demi::DEMI_ISA_NS
