#pragma once
// Internal: bit-exact arithmetic that needs no instruction of its own: the counter-based random words and the
// 16-bit floats, with the same bits as runtime/random.h and runtime/half.h. Compiled for device and host.
#include <cstring>

#include "runtime/cuda/gpu_types.h"

namespace demi::gpu {

struct Words4 {
    uint32_t w[4];
};

// Philox-4x32-10, block `block` of the stream of `seed`; c2, c3: the upper half of the counter.
DEMI_HOST_DEVICE Words4 philox_block(uint64_t seed, uint64_t block, uint32_t c2 = 0, uint32_t c3 = 0) {
    Words4 c{{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), c2, c3}};
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t{0xD2511F53u} * c.w[0];
        const uint64_t b = uint64_t{0xCD9E8D57u} * c.w[2];
        c = Words4{{static_cast<uint32_t>(b >> 32) ^ c.w[1] ^ k0, static_cast<uint32_t>(b),
                    static_cast<uint32_t>(a >> 32) ^ c.w[3] ^ k1, static_cast<uint32_t>(a)}};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

// random_word(seed, offset, index)
DEMI_HOST_DEVICE uint32_t philox(uint64_t seed, uint64_t offset, uint64_t index) {
    const Words4 block = philox_block(seed, offset + index / 4);
    const unsigned at = static_cast<unsigned>(index % 4);
    return at == 0 ? block.w[0] : at == 1 ? block.w[1] : at == 2 ? block.w[2] : block.w[3];
}

// 24 random bits as a float in [0, 1).
DEMI_HOST_DEVICE float to_uniform(uint32_t bits) {
    return static_cast<float>(bits >> 8) * 5.9604644775390625e-8f;
}

template <class To, class From> DEMI_HOST_DEVICE To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "bit_cast needs equal sizes");
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}

// The place of the lowest bit that is set; one is.
DEMI_HOST_DEVICE int lowest_bit(uint32_t bits) {
#if defined(__CUDA_ARCH__)
    return __ffs(static_cast<int>(bits)) - 1;
#else
    return __builtin_ctz(bits);
#endif
}

DEMI_HOST_DEVICE bool is_nan_bits(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

DEMI_HOST_DEVICE uint16_t nan_to_f16(uint32_t bits) {
    return static_cast<uint16_t>(((bits >> 16) & 0x8000u) | 0x7e00u | ((bits >> 13) & 0x3ffu));
}

DEMI_HOST_DEVICE uint16_t float_bits_to_bf16(uint32_t bits) {
    if (is_nan_bits(bits)) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace demi::gpu
