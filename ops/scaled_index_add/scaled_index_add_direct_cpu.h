#pragma once
// Internal, for scaled_index_add_cpu.cpp: rows that one source row is added to, from the loads to the store in registers.
#include "ops/boundary/boundary_cpu.h"
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// a * b + c, rounded twice. Which of two NaN an addition hands on is up to the compiler: there is only one here.
DEMI_INLINE vf multiply_add(vf a, vf b, vf c) {
    const vf y = a * b + c;
    return select(equal(y, y), y, broadcast(__builtin_nanf("")));
}

DEMI_INLINE double multiply_add(double a, double b, double c) { return a * b + c; }

template <class T> constexpr bool kIsHalf = false;
template <> constexpr bool kIsHalf<Half> = true;

// What is f16 already needs no rounding; what is stored as f16 is rounded by that.
template <bool kRound, class T> DEMI_INLINE vf enter(vf x) {
    return kRound && !kIsHalf<T> ? round_f16(x) : x;
}

// Rows of out = factor * source + x that need no detour: one dtype for all, unit steps, one source row, no saturation, out
// apart from x.
struct DirectAdd {
    const void *x, *source;
    void* out;
    const float* factor;                    // of one row
    int64_t rows, count;                    // count elements in each row
    int64_t x_step, source_step, out_step;  // from row to row, in elements
    bool round_source, round_out;           // strict: all, x too; wide: source; off: none
    bool stream;
    CastCounters *x_lost, *source_lost, *out_lost;  // null: not counted
};

// One block, in registers from the loads to the store.
template <class T, bool kX, bool kSource, bool kOut, bool kCount> struct Direct {
    static constexpr bool kCountX = kCount && kX && !kIsHalf<T>;
    static constexpr bool kCountSource = kCount && kSource && !kIsHalf<T>;
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

template <class T, bool kX, bool kSource, bool kOut, bool kCount> void direct_all(const DirectAdd& job) {
    using Step = Direct<T, kX, kSource, kOut, kCount>;
    Watch x_watch, source_watch, out_watch;
    for (int64_t row = 0; row < job.rows; ++row) {
        const T* x = static_cast<const T*>(job.x) + row * job.x_step;
        const T* source = static_cast<const T*>(job.source) + row * job.source_step;
        T* out = static_cast<T*>(job.out) + row * job.out_step;
        const float* factor = job.factor;
        for (int64_t left = job.count; left > 0;) {
            const int64_t n = !kCount || left < kRangeBlock ? left : kRangeBlock;
            Step step;
            for_aligned_lanes(
                out, n, job.stream, [&](int64_t i, int lanes) __attribute__((always_inline)) {
                    put_past(out + i, step(get(x + i, lanes), get(source + i, lanes), get(factor + i, lanes)),
                             lanes, job.stream);
                });
            if (Step::kCountX)
                x_watch.block(step.x_range, n, job.x_lost,
                              [=](int64_t j, int lanes) { return load_n(x + j, lanes); });
            if (Step::kCountSource)
                source_watch.block(step.source_range, n, job.source_lost,
                                   [=](int64_t j, int lanes) { return load_n(source + j, lanes); });
            if (Step::kCountOut)
                out_watch.block(step.out_range, n, job.out_lost, [=](int64_t j, int lanes) {
                    return Step::sum(load_n(x + j, lanes), load_n(source + j, lanes),
                                     load_n(factor + j, lanes));
                });
            x += n, source += n, out += n, factor += n, left -= n;
        }
    }
    if (Step::kCountX) x_watch.into(job.x_lost);
    if (Step::kCountSource) source_watch.into(job.source_lost);
    if (Step::kCountOut) out_watch.into(job.out_lost);
}

template <class T> void add_directly(const DirectAdd& job) {
    const bool count = job.out_lost != nullptr || job.source_lost != nullptr;
    if (job.round_out)
        return count ? direct_all<T, true, true, true, true>(job)
                     : direct_all<T, true, true, true, false>(job);
    if (job.round_source)
        return count ? direct_all<T, false, true, false, true>(job)
                     : direct_all<T, false, true, false, false>(job);
    direct_all<T, false, false, false, false>(job);
}

void add_directly(const DirectAdd& job, DType dtype) {
    switch (dtype) {
    case DType::f16: add_directly<Half>(job); break;
    case DType::bf16: add_directly<BFloat16>(job); break;
    default: add_directly<float>(job); break;
    }
    if (job.stream) stream_fence();
}

}  // namespace
}  // namespace demi::DEMI_BACKEND
