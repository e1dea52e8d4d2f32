#pragma once
// Internal, for .cu files: what one thread does at the fp16 boundary. The counterpart of boundary_simd.h: the
// same values, the same counts. Elements of any storage go through f32 registers, eight at a time where
// memory is aligned.
#include "ops/boundary/boundary_cuda.h"
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {

// Bits of the magnitudes at which fp16 changes its behaviour.
constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr uint32_t kOverflowBits = 0x477ff000u;  // 65520: rounds to infinity from here on
constexpr uint32_t kNormalBits = 0x387fe000u;    // 2^-14 - 2^-25: rounds to a subnormal below it
constexpr uint32_t kVanishBits = 0x33000000u;    // 2^-25: rounds to zero up to here

// What the casts of one thread lost.
struct LaneCount {
    uint32_t elements = 0, to_inf = 0, nan = 0, to_zero = 0, subnormal = 0, highest = 0;

    DEMI_DEVICE void add(float scaled) {
        const uint32_t m = gpu::bit_cast<uint32_t>(scaled) & 0x7fffffffu;
        const bool is_nan = m > kInfinityBits;
        ++elements;
        nan += is_nan ? 1u : 0u;
        to_inf += m >= kOverflowBits && !is_nan ? 1u : 0u;
        to_zero += m - 1 < kVanishBits ? 1u : 0u;  // zero itself wraps around
        subnormal += m > kVanishBits && m < kNormalBits ? 1u : 0u;
        highest = m > highest && !is_nan ? m : highest;
    }
    // The same for several: what is rare is looked for only where the largest says so.
    template <int N> DEMI_DEVICE void add_all(const float (&scaled)[N]) {
        uint32_t largest = 0, small = 0, none = 0;
        DEMI_UNROLL
        for (int i = 0; i < N; ++i) {
            const uint32_t m = gpu::bit_cast<uint32_t>(scaled[i]) & 0x7fffffffu;
            largest = m > largest ? m : largest;
            small += m - 1 < kNormalBits - 1 ? 1u : 0u;
            none += m - 1 < kVanishBits ? 1u : 0u;
        }
        elements += N;
        to_zero += none;
        subnormal += small - none;
        if (largest < kOverflowBits) {
            highest = largest > highest ? largest : highest;
            return;
        }
        for (int i = 0; i < N; ++i) {
            const uint32_t m = gpu::bit_cast<uint32_t>(scaled[i]) & 0x7fffffffu;
            nan += m > kInfinityBits ? 1u : 0u;
            to_inf += m >= kOverflowBits && m <= kInfinityBits ? 1u : 0u;
            highest = m > highest && m <= kInfinityBits ? m : highest;
        }
    }
};

// Adds the counts of a whole block to `sums`: reduced first, so that one thread adds. Every thread of the
// block takes part; scratch: shared memory for kCountScratch bytes that nobody else uses meanwhile.
constexpr size_t kCountScratch = 32 * 6 * sizeof(uint32_t);
DEMI_DEVICE void add_counts(const LaneCount& c, uint32_t* scratch, CastSums* sums) {
    uint32_t part[6] = {c.elements, c.to_inf, c.nan, c.to_zero, c.subnormal, c.highest};
    DEMI_UNROLL
    for (int i = 0; i < 6; ++i) part[i] = i < 5 ? gpu::warp_sum(part[i]) : gpu::warp_max(part[i]);
    gpu::sync_threads();
    if (gpu::lane() == 0)
        for (int i = 0; i < 6; ++i) scratch[gpu::warp() * 6 + i] = part[i];
    gpu::sync_threads();
    if (gpu::warp() != 0) return;
    const gpu::Dim3 size = gpu::block_dim();
    const bool mine = gpu::lane() < static_cast<int>((size.x * size.y * size.z + 31) / 32);
    DEMI_UNROLL
    for (int i = 0; i < 6; ++i) {
        const uint32_t x = mine ? scratch[gpu::lane() * 6 + i] : 0;
        part[i] = i < 5 ? gpu::warp_sum(x) : gpu::warp_max(x);
    }
    if (gpu::lane() != 0) return;
    uint64_t* to[5] = {&sums->elements, &sums->to_inf, &sums->nan, &sums->to_zero, &sums->subnormal};
    DEMI_UNROLL
    for (int i = 0; i < 5; ++i)
        if (part[i] != 0) gpu::atomic_add(to[i], uint64_t{part[i]});
    if (part[5] != 0) gpu::atomic_max_u32(&sums->highest, part[5]);
}

DEMI_DEVICE float round_to_half(float x) { return gpu::half_to_float(gpu::float_to_half(x)); }

// NaN stays NaN.
DEMI_DEVICE float saturate_to_half(float x) {
    return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
}

// What one value goes through.
DEMI_DEVICE float cross(float x, const Cast& cast, LaneCount& count) {
    if (cast.scale != 1) x *= cast.scale;  // even by 1 the GPU makes another NaN of a NaN
    if (cast.round) {
        if (cast.count) count.add(x);
        if (cast.saturate) x = saturate_to_half(x);
        x = round_to_half(x);
    }
    return cast.undo != 1 ? x * cast.undo : x;
}
DEMI_DEVICE float cross(float x, const Cast& cast) {
    Cast quiet = cast;
    quiet.count = false;
    LaneCount none;
    return cross(x, quiet, none);
}

// Eight values at once. Where none is NaN, and none asks for a counter of its own, the hardware's conversions
// of pairs do; the others go one by one.
DEMI_DEVICE void cross_eight(float (&x)[8], const Cast& cast, LaneCount& count) {
    const bool plain = cast.scale == 1 && cast.undo == 1;
    if (!cast.round && plain && !cast.saturate) return;
    float y[8];
    uint32_t most = 0;
    bool odd = !cast.round;
    DEMI_UNROLL
    for (int j = 0; j < 8; ++j) {
        y[j] = plain ? x[j] : x[j] * cast.scale;
        const uint32_t m = gpu::bit_cast<uint32_t>(y[j]) & 0x7fffffffu;
        most = m > most ? m : most;
        if (cast.count) odd |= m < kNormalBits && m != 0;
    }
    odd |= most > kInfinityBits || ((cast.count || cast.saturate) && most >= kOverflowBits);
    if (odd) {
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) x[j] = cross(x[j], cast, count);
        return;
    }
    if (cast.count) {
        count.elements += 8;
        count.highest = most > count.highest ? most : count.highest;
    }
    DEMI_UNROLL
    for (int j = 0; j < 8; j += 2) {
        gpu::unpack_f16(gpu::pack_f16(y[j], y[j + 1]), x[j], x[j + 1]);
        if (plain) continue;
        x[j] *= cast.undo;
        x[j + 1] *= cast.undo;
    }
}

// Whether one of two 16-bit floats is NaN; whether one of eight is.
DEMI_DEVICE uint32_t nan_in_pair(uint32_t pair, Storage s) {
    return ((pair & 0x7fff7fffu) + (s == Storage::f16 ? 0x03ff03ffu : 0x007f007fu)) & 0x80008000u;
}
DEMI_DEVICE bool nan_in_eight(const gpu::Bytes16& b, Storage s) {
    return (nan_in_pair(b.w[0], s) | nan_in_pair(b.w[1], s) | nan_in_pair(b.w[2], s) |
            nan_in_pair(b.w[3], s)) != 0;
}

DEMI_DEVICE int64_t storage_size(Storage s) { return s == Storage::f32 ? 4 : 2; }

DEMI_DEVICE float load_one(const void* base, int64_t at, Storage s) {
    if (s == Storage::f32) return static_cast<const float*>(base)[at];
    const uint16_t bits = static_cast<const uint16_t*>(base)[at];
    return s == Storage::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
}
DEMI_DEVICE void store_one(void* base, int64_t at, Storage s, float x) {
    if (s == Storage::f32)
        static_cast<float*>(base)[at] = x;
    else
        static_cast<uint16_t*>(base)[at] = s == Storage::f16 ? gpu::float_to_half(x) : gpu::float_to_bf16(x);
}

// Eight elements that lie at a multiple of 16 bytes, as they are in memory: loads may be on their way while
// others are unpacked.
struct Raw8 {
    gpu::Bytes16 part[2];  // the second only for f32
};
DEMI_DEVICE Raw8 load_raw(const void* base, int64_t at, Storage s) {
    Raw8 raw;
    const char* p = static_cast<const char*>(base) + at * storage_size(s);
    raw.part[0] = gpu::load16(p);
    if (s == Storage::f32) raw.part[1] = gpu::load16(p + 16);
    return raw;
}
DEMI_DEVICE void unpack(float (&x)[8], const Raw8& raw, Storage s) {
    if (s == Storage::f32) {
        DEMI_UNROLL
        for (int i = 0; i < 8; ++i) x[i] = gpu::bit_cast<float>(raw.part[i / 4].w[i % 4]);
        return;
    }
    if (s == Storage::f16 && !nan_in_eight(raw.part[0], s)) {
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) gpu::unpack_f16(raw.part[0].w[i], x[2 * i], x[2 * i + 1]);
        return;
    }
    DEMI_UNROLL
    for (int i = 0; i < 8; ++i) {
        const uint16_t bits = static_cast<uint16_t>(raw.part[0].w[i / 2] >> (16 * (i % 2)));
        x[i] = s == Storage::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
    }
}
DEMI_DEVICE void load_eight(float (&x)[8], const void* base, int64_t at, Storage s) {
    unpack(x, load_raw(base, at, s), s);
}
DEMI_DEVICE void store_eight(void* base, int64_t at, Storage s, const float (&x)[8]) {
    char* p = static_cast<char*>(base) + at * storage_size(s);
    gpu::Bytes16 part[2];
    if (s == Storage::f32) {
        DEMI_UNROLL
        for (int i = 0; i < 8; ++i) part[i / 4].w[i % 4] = gpu::bit_cast<uint32_t>(x[i]);
        gpu::store16(p + 16, part[1]);
    } else {
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i)
            part[0].w[i] = s == Storage::f16 ? gpu::pack_f16(x[2 * i], x[2 * i + 1])
                                             : gpu::pack_bf16(x[2 * i], x[2 * i + 1]);
        const bool payloads = nan_in_eight(part[0], s);
        DEMI_UNROLL
        for (int i = 0; i < 4 && payloads; ++i) {
            const uint32_t low =
                s == Storage::f16 ? gpu::float_to_half(x[2 * i]) : gpu::float_to_bf16(x[2 * i]);
            const uint32_t high =
                s == Storage::f16 ? gpu::float_to_half(x[2 * i + 1]) : gpu::float_to_bf16(x[2 * i + 1]);
            part[0].w[i] = low | high << 16;
        }
    }
    gpu::store16(p, part[0]);
}

// Of several NaN there is only one, as on the CPU.
DEMI_DEVICE float one_nan(float x) { return x == x ? x : gpu::bit_cast<float>(0x7fc00000u); }
// a * b + c, rounded twice.
DEMI_DEVICE float multiply_add(float a, float b, float c) { return one_nan(a * b + c); }

}  // namespace demi::gpu_kernels
