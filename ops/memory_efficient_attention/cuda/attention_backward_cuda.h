#pragma once
// Internal, for .cu files: what both kernels of attention's backward pass share. Gradients of scores may be
// of any size, fp16 holds 40 binary digits: a warp scales them by a power of two that follows their largest,
// and its sums with it. Weights are at most 1 and carry 2^kWeightShift, so that small ones keep their digits.
#include "ops/memory_efficient_attention/cuda/attention_store_cuda.h"

namespace demi::gpu_kernels {

template <bool kBf16> constexpr int kWeightShift = kBf16 ? 0 : 10;

DEMI_DEVICE float power_of_two(int exponent) {
    const int e = exponent < -126 ? -126 : exponent > 127 ? 127 : exponent;
    return gpu::bit_cast<float>(static_cast<uint32_t>(e + 127) << 23);
}

// Values are kept as 2^exponent times what goes into fp16.
struct WarpScale {
    static constexpr int kUnset = -10000;
    int exponent = kUnset;

    // Makes room for values up to the magnitude `largest` (of this lane); gives the
    // factor for the sums so far.
    DEMI_DEVICE float make_room(uint32_t largest) {
        largest = gpu::warp_max(largest);
        const int e = static_cast<int>(largest >> 23) - 127;  // 2^e <= magnitude
        if (largest == 0 || (exponent != kUnset && e - 14 <= exponent)) return 1;
        const int before = exponent;
        exponent = e - 11 < -112 ? -112 : e - 11;
        return before == kUnset ? 1.f : before - exponent < -126 ? 0.f : power_of_two(before - exponent);
    }
    DEMI_DEVICE float into() const { return exponent == kUnset ? 1.f : power_of_two(-exponent); }
    DEMI_DEVICE float out_of() const { return exponent == kUnset ? 1.f : power_of_two(exponent); }
};

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
            const uint32_t m = gpu::bit_cast<uint32_t>(x[n][e]) & 0x7fffffffu;
            if (m < kInfinityBits && m > bits) bits = m;
        }
    }
    return bits;
}

// Brings gradients of scores into fp16's range, and the sums so far to the same scale.
template <bool kBf16, int kSums, int kCount>
DEMI_DEVICE void fit(float (&grads)[kCount][4], WarpScale& scale, float (&sums)[kSums][4]) {
    if constexpr (!kBf16) {
        const float decay = scale.make_room(largest_finite(grads));
        if (decay != 1) scale_rows(sums, decay, decay);
        scale_rows(grads, scale.into(), scale.into());
    }
}

}  // namespace demi::gpu_kernels
