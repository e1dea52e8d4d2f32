// The block routines of boundary_kernel.h. A block stays in the first-level cache, so that counting it a
// second time (only where its range shows that something was lost) costs no memory traffic.
#include "ops/boundary/boundary_simd.h"

namespace demi::DEMI_ISA_NS {
namespace {

constexpr int64_t kBlock = 1024;

// What one vector goes through; kPlain: no scaling, no saturation.
template <bool kRound, bool kPlain> DEMI_INLINE vf cross(vf scaled, const Cast& cast) {
    vf y = scaled;
    if (!kPlain && cast.saturate) y = saturate_f16(y);
    if (kRound) y = round_f16(y);
    return kPlain ? y : y * broadcast(cast.undo);
}

template <bool kPlain, class T> DEMI_INLINE vf scaled(const T* p, const Cast& cast) {
    return kPlain ? loadu(p) : loadu(p) * broadcast(cast.scale);
}
template <bool kPlain, class T> DEMI_INLINE vf scaled_n(const T* p, int n, const Cast& cast) {
    return kPlain ? load_n(p, n) : load_n(p, n) * broadcast(cast.scale);
}

template <class Out> DEMI_INLINE void put(Out* p, vf x, bool) { storeu(p, x); }
DEMI_INLINE void put(float* p, vf x, bool streaming) {
    if (streaming)
        stream(p, x);
    else
        storeu(p, x);
}

// How many elements to do first so that the rest of dst is aligned to a vector; all floats are aligned to 4.
DEMI_INLINE int64_t head(const void* dst, int64_t count) {
    const uint64_t past = reinterpret_cast<uintptr_t>(dst) / sizeof(float) % kLanes;
    const int64_t wanted = past == 0 ? 0 : kLanes - static_cast<int64_t>(past);
    return wanted < count ? wanted : count;
}

template <bool kRound, bool kCount, bool kPlain, bool kStream, class Out, class In>
DEMI_INLINE Range block(Out* dst, const In* src, int64_t count, const Cast& cast) {
    Range range;
    int64_t i = 0;
    const auto part = [&](int64_t n) {
        const vf x = scaled_n<kPlain>(src + i, static_cast<int>(n), cast);
        if (kCount) range.add(x);
        store_n(dst + i, cross<kRound, kPlain>(x, cast), static_cast<int>(n));
        i += n;
    };
    if (kStream && head(dst, count) > 0) part(head(dst, count));
    for (; i + kLanes <= count; i += kLanes) {
        const vf x = scaled<kPlain>(src + i, cast);
        if (kCount) range.add(x);
        put(dst + i, cross<kRound, kPlain>(x, cast), kStream);
    }
    if (i < count) part(count - i);
    return range;
}

template <bool kRound, bool kCount, bool kPlain, bool kStream, class Out, class In>
void blocks(Out* dst, const In* src, int64_t count, const Cast& cast, CastCounters* counters) {
    if (!kCount) {
        block<kRound, false, kPlain, kStream>(dst, src, count, cast);
        return;
    }
    Watch watch;
    for (int64_t i = 0; i < count;) {
        int64_t n = kRangeBlock;
        if (kStream && i == 0) n += head(dst, count);  // later blocks begin aligned
        n = count - i < n ? count - i : n;
        const Range range = block<kRound, true, kPlain, kStream>(dst + i, src + i, n, cast);
        const In* from = src + i;
        watch.block(range, n, counters,
                    [=, &cast](int64_t j, int lanes) { return scaled_n<kPlain>(from + j, lanes, cast); });
        i += n;
    }
    watch.into(counters);
}

template <bool kStream, class Out, class In>
void dispatch(Out* dst, const In* src, int64_t count, const Cast& cast, CastCounters* counters) {
    const bool plain = cast.scale == 1 && cast.undo == 1 && !cast.saturate;
    if (!cast.round)
        return plain ? blocks<false, false, true, kStream>(dst, src, count, cast, counters)
                     : blocks<false, false, false, kStream>(dst, src, count, cast, counters);
    if (cast.count)
        return plain ? blocks<true, true, true, kStream>(dst, src, count, cast, counters)
                     : blocks<true, true, false, kStream>(dst, src, count, cast, counters);
    return plain ? blocks<true, false, true, kStream>(dst, src, count, cast, counters)
                 : blocks<true, false, false, kStream>(dst, src, count, cast, counters);
}

template <class In>
void load_from(float* dst, const In* src, int64_t count, int64_t step, const Cast& cast,
               CastCounters* counters, bool streaming) {
    if (step == 1 || count == 1) {
        if (!streaming) return dispatch<false>(dst, src, count, cast, counters);
        dispatch<true>(dst, src, count, cast, counters);
        stream_fence();
        return;
    }
    In gathered[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = count - i < kBlock ? count - i : kBlock;
        for (int64_t j = 0; j < n; ++j) gathered[j] = src[(i + j) * step];
        dispatch<false>(dst + i, gathered, n, cast, counters);
    }
}

void load_any(float* dst, const void* src, Storage from, int64_t count, int64_t step, const Cast& cast,
              CastCounters* counters, bool streaming) {
    if (count <= 0) return;
    switch (from) {
    case Storage::f32:
        return load_from(dst, static_cast<const float*>(src), count, step, cast, counters, streaming);
    case Storage::f16:
        return load_from(dst, static_cast<const Half*>(src), count, step, cast, counters, streaming);
    case Storage::bf16:
        return load_from(dst, static_cast<const BFloat16*>(src), count, step, cast, counters, streaming);
    }
}

void store_any(void* dst, Storage to, const float* src, int64_t count, const Cast& cast,
               CastCounters* counters, bool streaming) {
    if (count <= 0) return;
    switch (to) {
    case Storage::f32:
        if (!streaming) return dispatch<false>(static_cast<float*>(dst), src, count, cast, counters);
        dispatch<true>(static_cast<float*>(dst), src, count, cast, counters);
        stream_fence();
        return;
    case Storage::f16: return dispatch<false>(static_cast<Half*>(dst), src, count, cast, counters);
    case Storage::bf16: return dispatch<false>(static_cast<BFloat16*>(dst), src, count, cast, counters);
    }
}

template <class T> float largest(const T* src, int64_t count, int64_t step) {
    vu highest = vu{};
    T gathered[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = count - i < kBlock ? count - i : kBlock;
        const T* p = src + i;
        if (step != 1) {
            for (int64_t j = 0; j < n; ++j) gathered[j] = src[(i + j) * step];
            p = gathered;
        }
        for (int64_t j = 0; j < n; j += kLanes) {
            const int left = static_cast<int>(n - j);
            const vu m = magnitude(left >= kLanes ? loadu(p + j) : load_n(p + j, left));
            const vu finite = m & (vu)(m < splat(kInfinityBits));
            highest = finite > highest ? finite : highest;
        }
        if (step == 0) break;  // one value
    }
    return bits_to_float(demi::DEMI_ISA_NS::largest(highest));
}

float amax_any(const void* src, Storage from, int64_t count, int64_t step) {
    switch (from) {
    case Storage::f32: return largest(static_cast<const float*>(src), count, step);
    case Storage::f16: return largest(static_cast<const Half*>(src), count, step);
    case Storage::bf16: return largest(static_cast<const BFloat16*>(src), count, step);
    }
    return 0;
}

}  // namespace

extern const BoundaryIsa boundary_isa;
const BoundaryIsa boundary_isa = {load_any, store_any, amax_any};

}  // namespace demi::DEMI_ISA_NS
