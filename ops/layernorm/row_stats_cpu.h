#pragma once
// Mean and deviation of rows, for layernorm_cpu.cpp.
#include "ops/layernorm/layernorm_kernels.h"
#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// See layernorm_kernels.h.
template <class C> struct Stats { C mean, shift, rstd, factor; };

// What f32 and f64 call small: a shift of the mean (its square, beside that of the deviations), a shift that moves no n,
// and a variance.
template <class C> struct Small;
template <> struct Small<float> {
    static constexpr float far = 0x1p-10f, moved = 0x1p-20f, variance = 1e-30f;
    static constexpr int target = 30;  // of balance(): squares fit
};
template <> struct Small<double> {
    static constexpr double far = 0x1p-20, moved = 0x1p-44, variance = 1e-290;
    static constexpr int target = 200;
};

// f32 multiplies with one share for the whole row, f64 divides.
DEMI_INLINE float mean(float sum, int64_t width) { return 1.f / static_cast<float>(width) * sum; }
DEMI_INLINE double mean(double sum, int64_t width) { return sum / static_cast<double>(width); }

DEMI_INLINE float root_of_squares(float a, float b) {
    const float high = a > b ? a : b, low = a > b ? b : a;
    return high * root(1.f + low / high * (low / high));
}
DEMI_INLINE double root_of_squares(double a, double b) { return __builtin_hypot(a, b); }

template <class T> DEMI_RARE bool is_constant(const T* x, int64_t width) {
    const auto first = splat<T>(value_of(x));
    auto same = equal(splat<T>(0), splat<T>(0));
    for_lanes<T>(width,
                 [&] DEMI_LANES { same = mask_and(same, equal(only(n, get(x + i, n), first), first)); });
    return all(same);
}

// A shift that moves no n by much is as good as none.
template <class C> DEMI_INLINE void drop_small_shift(Stats<C>& s) {
    const C moved = s.shift * s.rstd;
    if (moved < Small<C>::moved && moved > -Small<C>::moved) s.shift = 0;
}

// The mean of one sum is corrected by the mean of what it leaves, once more where the first try was far off. Gives the
// variance of x times s.factor.
template <class T, class C> DEMI_RARE C find_stats(const T* x, int64_t width, Stats<C>& s) {
    const auto f = splat<T>(s.factor);
    s.mean = mean(sum_lanes<T>(width, [&] DEMI_LANES { return get(x + i, n) * f; }), width);
    for (int turn = 0;; ++turn) {
        const auto m = splat<T>(s.mean);
        C of[2];
        sums_of_lanes<T>(width, of, [&] DEMI_SUMS {
            const auto d = only(n, get(x + i, n) * f - m, splat<T>(0));
            sum[0] = sum[0] + d;
            sum[1] = sum[1] + d * d;
        });
        s.shift = mean(of[0], width);
        const C square = mean(of[1], width), moved = s.shift * s.shift, variance = square - moved;
        if (turn == 1 || moved <= Small<C>::far * square) return variance < 0 ? 0 : variance;
        s.mean = s.mean + s.shift;
    }
}

// A row whose first try is no good.
template <class T, class C> DEMI_RARE void rare_stats(const T* x, int64_t width, C eps, Stats<C>& s) {
    C variance = find_stats(x, width, s);
    if (variance > 0 && variance < kInf && variance + eps >= Small<C>::variance) {
        s.rstd = 1 / root(variance + eps);
    } else if (is_constant(x, width)) {
        s = {0, 0, eps > 0 ? 1 / root(eps) : 0, 0};
        return;
    } else {  // squares leave the range
        s.factor = power_of_two<C>(balance(max_abs(x, width), Small<C>::target));
        variance = find_stats(x, width, s);
        s.rstd = 1 / root_of_squares(root(variance), root(eps) * s.factor);
    }
    drop_small_shift(s);
}

// Of K rows at once: one by one, each would wait for its own sums.
template <int K, class T, class C>
__attribute__((noinline)) void stats_of(const T* const (&x)[2], int64_t width, C eps, Stats<C> (&s)[2]) {
    C sums[K], of[2 * K];
    vector_t<T> m[K];
    sums_of_lanes<T>(width, sums, [&] DEMI_SUMS {
#pragma GCC unroll 2
        for (int k = 0; k < K; ++k) sum[k] = sum[k] + get(x[k] + i, n);
    });
#pragma GCC unroll 2
    for (int k = 0; k < K; ++k) m[k] = splat<T>(s[k].mean = mean(sums[k], width));
    sums_of_lanes<T>(width, of, [&] DEMI_SUMS {
#pragma GCC unroll 2
        for (int k = 0; k < K; ++k) {
            const auto d = only(n, get(x[k] + i, n) - m[k], splat<T>(0));
            sum[2 * k] = sum[2 * k] + d;
            sum[2 * k + 1] = sum[2 * k + 1] + d * d;
        }
    });
    for (int k = 0; k < K; ++k) {
        s[k].shift = mean(of[2 * k], width);
        s[k].factor = 1;
        const C square = mean(of[2 * k + 1], width), moved = s[k].shift * s[k].shift;
        const C variance = square - moved;
        const bool good = moved <= Small<C>::far * square && variance > 0 && variance < kInf &&
                          variance + eps >= Small<C>::variance;
        if (!good) [[unlikely]] {
            rare_stats(x[k], width, eps, s[k]);
            continue;
        }
        s[k].rstd = 1 / root(variance + eps);
        drop_small_shift(s[k]);
    }
}

}  // namespace
}  // namespace demi::DEMI_BACKEND
