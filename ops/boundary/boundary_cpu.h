#pragma once
// For *_cpu.cpp files: rounding to fp16 on vectors, and counting what that loses.
#include "ops/boundary/boundary_kernels.h"
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {

typedef uint32_t vu __attribute__((vector_size(sizeof(vf))));

DEMI_INLINE vu splat(uint32_t x) { return vu{} + x; }
DEMI_INLINE vu magnitude(vf x) { return __builtin_bit_cast(vu, x) & splat(0x7fffffffu); }

// min() and max() give their second operand where one is NaN: NaN stays.
DEMI_INLINE vf saturate_f16(vf x) { return max(broadcast(-kLargestHalf), min(broadcast(kLargestHalf), x)); }

DEMI_INLINE bool any_bit(vu x) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask(__builtin_bit_cast(__m512i, x), __builtin_bit_cast(__m512i, x)) != 0;
#elif defined(__AVX2__)
    return _mm256_testz_si256(__builtin_bit_cast(__m256i, x), __builtin_bit_cast(__m256i, x)) == 0;
#else
    return (x[0] | x[1] | x[2] | x[3]) != 0;
#endif
}
DEMI_INLINE uint32_t largest(vu x) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_epu32(__builtin_bit_cast(__m512i, x));
#else
    uint32_t all = 0;
    for (int i = 0; i < kLanes; ++i) all = x[i] > all ? x[i] : all;
    return all;
#endif
}

// The range of the magnitudes seen: four instructions per vector. Most blocks show by it that
// nothing was lost; others are counted again, element by element. Small blocks, since one small
// number is enough for that.
constexpr int64_t kRangeBlock = 256;

struct Range {
    vu highest = vu{};
    vu lowest = ~vu{};  // of magnitude - 1, so that zeros stay out

    DEMI_INLINE void add(vf x) {
        const vu m = magnitude(x);
        highest = m > highest ? m : highest;
        const vu n = m - 1;
        lowest = n < lowest ? n : lowest;
    }
    DEMI_INLINE bool harmless() const {
        const vu high = (vu)(highest >= splat(kOverflowBits)), low = (vu)(lowest < splat(kNormalBits - 1));
        return !any_bit(high | low);
    }
};

// The exact count of one block: add every vector, then take the sums. Zeros, as in the empty
// lanes of a tail, add nothing.
struct Tally {
    vu nan = vu{}, huge = vu{}, tiny = vu{}, small = vu{}, zero = vu{}, highest = vu{};

    DEMI_INLINE void add(vf x) {
        const vu m = magnitude(x);
        const vu is_nan = (vu)(m > splat(kInfinityBits));
        nan -= is_nan;
        huge -= (vu)(m >= splat(kOverflowBits));
        small -= (vu)(m < splat(kNormalBits));
        tiny -= (vu)(m <= splat(kVanishBits));
        zero -= (vu)(m == vu{});
        const vu known = m & ~is_nan;
        highest = known > highest ? known : highest;
    }
    DEMI_INLINE void into(CastCounters* c) const {
        for (int i = 0; i < kLanes; ++i) {
            c->nan += nan[i];
            c->to_inf += huge[i] - nan[i];
            c->to_zero += tiny[i] - zero[i];
            c->subnormal += small[i] - tiny[i];
        }
        const double amax = static_cast<double>(bits_to_float(largest(highest)));
        c->amax = amax > c->amax ? amax : c->amax;
    }
};

// Counts one block after the other; the largest magnitude stays in a vector until the end.
struct Watch {
    vu highest = vu{};
    int64_t elements = 0;

    // The block whose vectors went through `range`; value(i, n) gives them again: n lanes from element i.
    template <class F>
    DEMI_INLINE void block(const Range& range, int64_t count, CastCounters* counters, F value) {
        elements += count;
        if (range.harmless()) [[likely]]
            highest = range.highest > highest ? range.highest : highest;
        else
            again(count, counters, value);
    }
    DEMI_INLINE void into(CastCounters* counters) const {
        counters->elements += elements;
        const double amax = static_cast<double>(bits_to_float(largest(highest)));
        counters->amax = amax > counters->amax ? amax : counters->amax;
    }

  private:
    template <class F>
    static __attribute__((noinline)) void again(int64_t count, CastCounters* counters, F value) {
        Tally sums;
        for (int64_t i = 0; i < count; i += kLanes)
            sums.add(value(i, count - i < kLanes ? static_cast<int>(count - i) : kLanes));
        sums.into(counters);
    }
};

// Past the caches; p is aligned to the vector.
DEMI_INLINE void stream(float* p, vf x) {
#if defined(__AVX512F__)
    _mm512_stream_ps(p, x);
#elif defined(__AVX2__)
    _mm256_stream_ps(p, x);
#else
    store(p, x);
#endif
}
DEMI_INLINE void stream_fence() {
#if defined(__AVX2__)
    _mm_sfence();
#endif
}
template <class T> DEMI_INLINE void put_past(T* p, vf x, int n, bool streaming) {
    if constexpr (sizeof(T) == sizeof(float))
        if (streaming && n == kLanes) return stream(p, x);
    put(p, x, n);
}

// How many elements lie before the first that is aligned to a vector.
template <class T> DEMI_INLINE int64_t unaligned(const T* p) {
    const uint64_t past = reinterpret_cast<uintptr_t>(p) / sizeof(T) % kLanes;
    return past == 0 ? 0 : kLanes - static_cast<int64_t>(past);
}
// for_lanes() over dst; whole vectors are aligned where put_past() is to be `streaming`.
template <class T, class F>
DEMI_INLINE void for_aligned_lanes(const T* dst, int64_t count, bool streaming, const F& body) {
    int64_t head = streaming && sizeof(T) == sizeof(float) ? unaligned(dst) : 0;
    head = head < count ? head : count;
    if (head > 0) body(0, static_cast<int>(head));
    for_lanes<T>(head, count, body);
}

// dst[i] = cast(src[i * step]): loads, rounds and counts in one pass. `lost` may be null where cast.count is false.
// `streaming` writes past the caches.
void load_row(float* dst, ConstMem src, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
              bool streaming);
// dst[i] = cast(src[i]) in dst's dtype, rounded to nearest even.
void store_row(Mem dst, const float* src, int64_t count, const Cast& cast, CastCounters* lost,
               bool streaming);
// dst[i] = cast(src[i * step]) in dst's dtype.
void cross_row(Mem dst, ConstMem src, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
               bool streaming);
// The same for f64, which crosses as it is.
DEMI_INLINE void load_row(double* dst, ConstMem src, int64_t count, int64_t step, const Cast&, CastCounters*,
                          bool) {
    for (int64_t i = 0; i < count; ++i) dst[i] = elements<double>(src)[i * step];
}
DEMI_INLINE void store_row(Mem dst, const double* src, int64_t count, const Cast&, CastCounters*, bool) {
    __builtin_memcpy(dst.data, src, static_cast<size_t>(count) * sizeof(double));
}

namespace {

// Counters of a call's tiles, one behind the other, so that tiles count without waiting for one another; `lost` gets them in
// the end. Without it there are none.
class TileCounters {
  public:
    DEMI_INLINE TileCounters(int64_t tiles, CastCounters* lost, Queue queue)
        : tiles_(lost != nullptr ? tiles : 0), lost_(lost), memory_(tiles_, queue) {
        for (int64_t i = 0; i < tiles_; ++i) memory_.data()[i] = CastCounters{};
    }
    DEMI_INLINE ~TileCounters() {
        for (int64_t i = 0; i < tiles_; ++i) add_counters(*lost_, memory_.data()[i]);
    }
    DEMI_INLINE CastCounters* of(int64_t tile) const { return tiles_ > 0 ? memory_.data() + tile : nullptr; }

  private:
    int64_t tiles_;
    CastCounters* lost_;
    LocalScratch<CastCounters, 16> memory_;
};

}  // namespace

}  // namespace demi::DEMI_BACKEND
