#pragma once
// Internal, for .cu files: what one thread does at the fp16 boundary. The same values and counts as boundary_cpu.h has. f32,
// bf16 and f16 go through f32 registers, eight elements at a time where memory is aligned.
#include "ops/boundary/boundary_kernels.h"
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {

// Whether rows of `step` elements, read or written eight elements at a time, are aligned to 16 bytes throughout.
DEMI_HOST_DEVICE bool rows_aligned(const void* first, int64_t step, DType dtype) {
    return reinterpret_cast<uintptr_t>(first) % 16 == 0 &&
           step * static_cast<int64_t>(size_of(dtype)) % 16 == 0;
}

// What the casts of one thread lost.
struct LaneCount {
    uint32_t elements = 0, to_inf = 0, nan = 0, to_zero = 0, subnormal = 0;
    float amax = 0;

    DEMI_DEVICE void add(float scaled) { count_crossing(*this, scaled); }
    // The same for several: what is rare is looked for only where the largest says so.
    template <int N> DEMI_DEVICE void add_all(const float (&scaled)[N]) {
        uint32_t largest = 0, small = 0, none = 0;
        DEMI_UNROLL
        for (int i = 0; i < N; ++i) {
            const uint32_t m = gpu::bit_cast<uint32_t>(scaled[i]) & 0x7fffffffu;
            largest = m > largest ? m : largest;
            small += m - 1 < kNormalBits - 1 ? 1u : 0u;
            none += m - 1 < kVanishBits ? 1u : 0u;  // zero itself wraps around
        }
        if (largest >= kOverflowBits) {
            for (int i = 0; i < N; ++i) add(scaled[i]);
            return;
        }
        elements += N;
        to_zero += none;
        subnormal += small - none;
        amax = gpu::bit_cast<float>(largest) > amax ? gpu::bit_cast<float>(largest) : amax;
    }
};

// Adds the counts of a whole block to `lost` (null: they are not wanted): reduced first, so that one thread adds. Every
// thread of the block takes part; scratch: shared memory for kCountScratch bytes that has no other use meanwhile.
constexpr size_t kCountScratch = 32 * 6 * sizeof(uint32_t);
DEMI_DEVICE void add_counts(const LaneCount& c, uint32_t* scratch, CastCounters* lost) {
    if (lost == nullptr) return;
    // the bits of numbers that are not negative are in the order of the numbers
    uint32_t part[6] = {c.elements, c.to_inf, c.nan, c.to_zero, c.subnormal, gpu::bit_cast<uint32_t>(c.amax)};
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
    int64_t* to[5] = {&lost->elements, &lost->to_inf, &lost->nan, &lost->to_zero, &lost->subnormal};
    DEMI_UNROLL
    for (int i = 0; i < 5; ++i)
        if (part[i] != 0) gpu::atomic_add(reinterpret_cast<uint64_t*>(to[i]), uint64_t{part[i]});
    if (part[5] != 0)
        gpu::atomic_max(reinterpret_cast<uint64_t*>(&lost->amax),
                        gpu::bit_cast<uint64_t>(static_cast<double>(gpu::bit_cast<float>(part[5]))));
}

template <class F> DEMI_DEVICE float cross_and_count(float x, const Cast& cast, const F& count) {
    return cross_number(
        x, cast, [](float v) { return gpu::half_to_float(gpu::float_to_half(v)); }, count);
}
DEMI_DEVICE float cross(float x, const Cast& cast, LaneCount& lost) {
    return cross_and_count(x, cast, [&](float v) { lost.add(v); });
}
DEMI_DEVICE float cross(float x, const Cast& cast) {
    return cross_and_count(x, cast, [](float) {});
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
        const float largest = gpu::bit_cast<float>(most);
        count.amax = largest > count.amax ? largest : count.amax;
    }
    DEMI_UNROLL
    for (int j = 0; j < 8; j += 2) {
        gpu::unpack_f16(gpu::pack_f16(y[j], y[j + 1]), x[j], x[j + 1]);
        if (plain) continue;
        x[j] *= cast.undo;
        x[j + 1] *= cast.undo;
    }
}

DEMI_DEVICE float load_one(const void* base, int64_t at, DType s) {
    if (s == DType::f32) return static_cast<const float*>(base)[at];
    const uint16_t bits = static_cast<const uint16_t*>(base)[at];
    return s == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
}
DEMI_DEVICE void store_one(void* base, int64_t at, DType s, float x) {
    if (s == DType::f32)
        static_cast<float*>(base)[at] = x;
    else
        static_cast<uint16_t*>(base)[at] = s == DType::f16 ? gpu::float_to_half(x) : gpu::float_to_bf16(x);
}

// f64 beside them: in kernels that take it, nothing casts it.
template <class C> DEMI_DEVICE C load_as(const void* base, int64_t at, DType s) {
    if constexpr (sizeof(C) == sizeof(double))
        return static_cast<const double*>(base)[at];
    else
        return load_one(base, at, s);
}
DEMI_DEVICE void store_one(void* base, int64_t at, DType, double x) { static_cast<double*>(base)[at] = x; }
DEMI_DEVICE double cross(double x, const Cast&, LaneCount&) { return x; }

// Four or eight elements that lie at a multiple of their bytes, of 16 at most, as they are in memory: loads may be on their
// way while others are unpacked.
template <int N> struct Raw {
    uint32_t w[N];  // 16-bit elements: half of them
};
typedef Raw<8> Raw8;
template <int N = 8> DEMI_DEVICE Raw<N> load_raw(const void* base, int64_t at, DType s) {
    Raw<N> raw;
    const char* p = static_cast<const char*>(base) + at * static_cast<int64_t>(size_of(s));
    if (N == 4 && s != DType::f32) {
        const gpu::Bytes8 b = gpu::load8(p);
        raw.w[0] = b.w[0], raw.w[1] = b.w[1];
        return raw;
    }
    DEMI_UNROLL
    for (int k = 0; k < N; k += 4) {
        if (k > 0 && s != DType::f32) break;
        const gpu::Bytes16 b = gpu::load16(p + 4 * k);
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) raw.w[k + i] = b.w[i];
    }
    return raw;
}
// Whether one of N 16-bit floats is NaN.
template <int N> DEMI_DEVICE bool any_nan(const Raw<N>& raw, DType s) {
    uint32_t nan = 0;
    DEMI_UNROLL
    for (int i = 0; i < N / 2; ++i)
        nan |= (raw.w[i] & 0x7fff7fffu) + (s == DType::f16 ? 0x03ff03ffu : 0x007f007fu);
    return (nan & 0x80008000u) != 0;
}
template <int N> DEMI_DEVICE void unpack(float (&x)[N], const Raw<N>& raw, DType s) {
    if (s == DType::f32) {
        DEMI_UNROLL
        for (int i = 0; i < N; ++i) x[i] = gpu::bit_cast<float>(raw.w[i]);
        return;
    }
    if (s == DType::f16 && !any_nan(raw, s)) {
        DEMI_UNROLL
        for (int i = 0; i < N / 2; ++i) gpu::unpack_f16(raw.w[i], x[2 * i], x[2 * i + 1]);
        return;
    }
    DEMI_UNROLL
    for (int i = 0; i < N; ++i) {
        const uint16_t bits = static_cast<uint16_t>(raw.w[i / 2] >> (16 * (i % 2)));
        x[i] = s == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
    }
}
template <int N> DEMI_DEVICE void load_some(float (&x)[N], const void* base, int64_t at, DType s) {
    unpack(x, load_raw<N>(base, at, s), s);
}
template <int N> DEMI_DEVICE void store_some(void* base, int64_t at, DType s, const float (&x)[N]) {
    char* p = static_cast<char*>(base) + at * static_cast<int64_t>(size_of(s));
    if (s == DType::f32) {
        DEMI_UNROLL
        for (int k = 0; k < N; k += 4)
            gpu::store16(p + 4 * k, {{gpu::bit_cast<uint32_t>(x[k]), gpu::bit_cast<uint32_t>(x[k + 1]),
                                      gpu::bit_cast<uint32_t>(x[k + 2]), gpu::bit_cast<uint32_t>(x[k + 3])}});
        return;
    }
    Raw<N> raw;
    DEMI_UNROLL
    for (int i = 0; i < N / 2; ++i)
        raw.w[i] =
            s == DType::f16 ? gpu::pack_f16(x[2 * i], x[2 * i + 1]) : gpu::pack_bf16(x[2 * i], x[2 * i + 1]);
    const bool payloads = any_nan(raw, s);
    DEMI_UNROLL
    for (int i = 0; i < N / 2 && payloads; ++i) {
        const uint32_t low = s == DType::f16 ? gpu::float_to_half(x[2 * i]) : gpu::float_to_bf16(x[2 * i]);
        const uint32_t high =
            s == DType::f16 ? gpu::float_to_half(x[2 * i + 1]) : gpu::float_to_bf16(x[2 * i + 1]);
        raw.w[i] = low | high << 16;
    }
    if constexpr (N == 4)
        gpu::store8(p, {{raw.w[0], raw.w[1]}});
    else
        gpu::store16(p, {{raw.w[0], raw.w[1], raw.w[2], raw.w[3]}});
}

// Of several NaN there is only one, as on the CPU.
DEMI_DEVICE float one_nan(float x) { return x == x ? x : gpu::bit_cast<float>(0x7fc00000u); }
DEMI_DEVICE double one_nan(double x) { return x; }

// ---- what a thread takes at a time: eight elements at a multiple of 16 bytes, all of kType or (kMixed) each operand of its
// own dtype; or one element anywhere, in C. kCasts: something may cross the boundary.
template <DType kType, bool kCasts, bool kMixed = false> struct Eights {
    typedef float C;
    typedef Raw8 Raw;
    static constexpr int count = 8, ahead = kType == DType::f32 ? 2 : 4;  // 64 bytes on their way
    static constexpr bool casts = kCasts;
    static DEMI_DEVICE DType type(DType own) { return kMixed ? own : kType; }
    static DEMI_DEVICE Raw load(const void* base, int64_t at, DType own) {
        return load_raw(base, at, type(own));
    }
    static DEMI_DEVICE void unpack(float (&x)[8], const Raw& raw, DType own) {
        gpu_kernels::unpack(x, raw, type(own));
    }
    static DEMI_DEVICE void cross(float (&x)[8], const Cast& cast, LaneCount& lost) {
        if constexpr (kCasts) cross_eight(x, cast, lost);
    }
    static DEMI_DEVICE void store(void* base, int64_t at, DType own, const float (&x)[8]) {
        store_some(base, at, type(own), x);
    }
    static DEMI_DEVICE void stage(float* to, const float (&x)[8]) { store_some(to, 0, DType::f32, x); }
};
template <class C_> struct Single {
    typedef C_ C;
    typedef C Raw;
    static constexpr int count = 1, ahead = 4;
    static constexpr bool casts = sizeof(C) == sizeof(float);
    static DEMI_DEVICE Raw load(const void* base, int64_t at, DType own) { return load_as<C>(base, at, own); }
    static DEMI_DEVICE void unpack(C (&x)[1], Raw raw, DType) { x[0] = raw; }
    static DEMI_DEVICE void cross(C (&x)[1], const Cast& cast, LaneCount& lost) {
        x[0] = gpu_kernels::cross(x[0], cast, lost);
    }
    static DEMI_DEVICE void store(void* base, int64_t at, DType own, const C (&x)[1]) {
        store_one(base, at, own, x[0]);
    }
    static DEMI_DEVICE void stage(C* to, const C (&x)[1]) { *to = x[0]; }
};

}  // namespace demi::gpu_kernels
