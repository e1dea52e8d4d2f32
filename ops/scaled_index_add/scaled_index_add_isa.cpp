#include "ops/scaled_index_add/scaled_index_add_isa.h"

#include "ops/boundary/boundary_simd.h"

namespace demi::DEMI_ISA_NS {
namespace {

// a * b + c, rounded twice. Which of two NaN an addition hands on is up to the compiler: there is only one
// here.
DEMI_INLINE vf multiply_add(vf a, vf b, vf c) {
    const vf y = a * b + c;
    return select(equal(y, y), y, broadcast(__builtin_nanf("")));
}

template <class T> constexpr bool is_half = false;
template <> constexpr bool is_half<Half> = true;

// What is f16 already needs no rounding; what is stored as f16 is rounded by that.
template <bool kRound, class T> DEMI_INLINE vf enter(vf x) {
    return kRound && !is_half<T> ? round_f16(x) : x;
}

template <class T> DEMI_INLINE void put(T* p, vf x) { storeu(p, x); }
DEMI_INLINE void put(float* p, vf x) { stream(p, x); }

// One block, in registers from the loads to the store.
template <class T, bool kX, bool kSource, bool kOut, bool kCount> struct Direct {
    static constexpr bool kCountX = kCount && kX && !is_half<T>;
    static constexpr bool kCountSource = kCount && kSource && !is_half<T>;
    static constexpr bool kCountOut = kCount && kOut;
    Range x_range, source_range, out_range;

    static DEMI_INLINE vf sum(vf x, vf source, vf factor) {
        return multiply_add(factor, enter<kSource, T>(source), enter<kX, T>(x));
    }
    DEMI_INLINE vf operator()(vf x, vf source, vf factor) {
        if (kCountX) x_range.add(x);
        if (kCountSource) source_range.add(source);
        const vf y = sum(x, source, factor);
        if (kCountOut) out_range.add(y);
        return enter<kOut, T>(y);
    }
};

template <class T, bool kX, bool kSource, bool kOut, bool kCount>
DEMI_INLINE Direct<T, kX, kSource, kOut, kCount>
direct_block(const T* x, const T* source, T* out, const float* factor, int64_t count, bool streaming) {
    Direct<T, kX, kSource, kOut, kCount> step;
    int64_t i = 0;
    const auto part = [&](int64_t n) {
        const int lanes = static_cast<int>(n);
        store_n(out + i, step(load_n(x + i, lanes), load_n(source + i, lanes), load_n(factor + i, lanes)),
                lanes);
        i += n;
    };
    if (streaming) {
        const uint64_t past = reinterpret_cast<uintptr_t>(out) / sizeof(float) % kLanes;
        const int64_t head = past == 0 ? 0 : kLanes - static_cast<int64_t>(past);
        if (head > 0) part(head < count ? head : count);
        for (; i + kLanes <= count; i += kLanes)
            put(out + i, step(loadu(x + i), loadu(source + i), loadu(factor + i)));
    }
    for (; i + kLanes <= count; i += kLanes)
        storeu(out + i, step(loadu(x + i), loadu(source + i), loadu(factor + i)));
    if (i < count) part(count - i);
    return step;
}

template <class T, bool kX, bool kSource, bool kOut, bool kCount> void direct_all(const DirectAdd& job) {
    using Step = Direct<T, kX, kSource, kOut, kCount>;
    Watch x_watch, source_watch, out_watch;
    const bool streaming = job.stream && sizeof(T) == sizeof(float);
    for (int64_t row = 0; row < job.rows; ++row) {
        const T* x = static_cast<const T*>(job.x) + row * job.x_step;
        const T* source = static_cast<const T*>(job.source) + row * job.source_step;
        T* out = static_cast<T*>(job.out) + row * job.out_step;
        const float* factor = job.factor;
        for (int64_t left = job.count; left > 0;) {
            const int64_t n = !kCount || left < kRangeBlock ? left : kRangeBlock;
            const Step step =
                direct_block<T, kX, kSource, kOut, kCount>(x, source, out, factor, n, streaming);
            if (Step::kCountX)
                x_watch.block(step.x_range, n, job.x_counters,
                              [=](int64_t j, int lanes) { return load_n(x + j, lanes); });
            if (Step::kCountSource)
                source_watch.block(step.source_range, n, job.source_counters,
                                   [=](int64_t j, int lanes) { return load_n(source + j, lanes); });
            if (Step::kCountOut)
                out_watch.block(step.out_range, n, job.out_counters, [=](int64_t j, int lanes) {
                    return Step::sum(load_n(x + j, lanes), load_n(source + j, lanes),
                                     load_n(factor + j, lanes));
                });
            x += n, source += n, out += n, factor += n, left -= n;
        }
    }
    if (Step::kCountX) x_watch.into(job.x_counters);
    if (Step::kCountSource) source_watch.into(job.source_counters);
    if (Step::kCountOut) out_watch.into(job.out_counters);
}

template <class T> void direct_of(const DirectAdd& job) {
    const bool count = job.out_counters != nullptr || job.source_counters != nullptr;
    if (job.round_out)
        return count ? direct_all<T, true, true, true, true>(job)
                     : direct_all<T, true, true, true, false>(job);
    if (job.round_source)
        return count ? direct_all<T, false, true, false, true>(job)
                     : direct_all<T, false, true, false, false>(job);
    direct_all<T, false, false, false, false>(job);
}

void direct(const DirectAdd& job) {
    switch (job.storage) {
    case Storage::f32: direct_of<float>(job); break;
    case Storage::f16: direct_of<Half>(job); break;
    case Storage::bf16: direct_of<BFloat16>(job); break;
    }
    if (job.stream) stream_fence();
}

void add(float* x, const float* factor, const float* source, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        storeu(x + i, multiply_add(loadu(factor + i), loadu(source + i), loadu(x + i)));
    const int n = static_cast<int>(count - i);
    if (n > 0)
        store_n(x + i, multiply_add(load_n(factor + i, n), load_n(source + i, n), load_n(x + i, n)), n);
}

void add_one(float* x, float factor, const float* source, int64_t count) {
    const vf f = broadcast(factor);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(x + i, f * loadu(source + i) + loadu(x + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(x + i, f * load_n(source + i, n) + load_n(x + i, n), n);
}

void scale(float* x, float factor, int64_t count) {
    const vf f = broadcast(factor);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(x + i, f * loadu(x + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(x + i, f * load_n(x + i, n), n);
}

void multiply(float* out, const float* a, const float* b, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(out + i, loadu(a + i) * loadu(b + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(out + i, load_n(a + i, n) * load_n(b + i, n), n);
}

}  // namespace

extern const ScaledIndexAddIsa scaled_index_add_isa;
const ScaledIndexAddIsa scaled_index_add_isa = {direct, add, add_one, scale, multiply};

}  // namespace demi::DEMI_ISA_NS
