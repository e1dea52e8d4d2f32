#include "ops/dropout/dropout_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

constexpr int kBlocks = 32;  // Philox blocks that run side by side
constexpr int kWords = 4 * kBlocks;

// Philox-4x32-10 on blocks block .. block + kBlocks - 1: words in stream order.
DEMI_INLINE void philox(uint64_t seed, uint64_t block, uint32_t* words) {
    alignas(64) uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
    for (int l = 0; l < kBlocks; ++l) {
        const uint64_t b = block + static_cast<uint64_t>(l);
        c0[l] = static_cast<uint32_t>(b);
        c1[l] = static_cast<uint32_t>(b >> 32);
        c2[l] = c3[l] = 0;
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int l = 0; l < kBlocks; ++l) {
            const uint64_t a = uint64_t{0xD2511F53u} * c0[l];
            const uint64_t b = uint64_t{0xCD9E8D57u} * c2[l];
            c0[l] = static_cast<uint32_t>(b >> 32) ^ c1[l] ^ k0;
            c1[l] = static_cast<uint32_t>(b);
            c2[l] = static_cast<uint32_t>(a >> 32) ^ c3[l] ^ k1;
            c3[l] = static_cast<uint32_t>(a);
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < kBlocks; ++l) {
        words[4 * l] = c0[l];
        words[4 * l + 1] = c1[l];
        words[4 * l + 2] = c2[l];
        words[4 * l + 3] = c3[l];
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
const DropoutIsa dropout_isa = {{apply<f16_t>, apply<bf16_t>, apply<float>},
                                {scale<f16_t>, scale<bf16_t>, scale<float>}};

}  // namespace demi::DEMI_ISA_NS
