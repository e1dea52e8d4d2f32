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

// The means of d and of d^2 over a row.
template <class C> struct Moments { C mean, square; };
template <class T, class F> DEMI_INLINE Moments<lane_t<T>> moments(int64_t width, const F& d) {
    typedef lane_t<T> C;
    double sum = 0, square = 0;
    for_blocks<T>(width, [&] DEMI_BLOCK {
        auto s = splat<T>(0), q = splat<T>(0);
        for_lanes<T>(begin, end, [&] DEMI_LANES {
            const auto v = only(n, d(i, n), splat<T>(0));
            s = s + v;
            q = q + v * v;
        });
        sum += static_cast<double>(hsum(s));
        square += static_cast<double>(hsum(q));
    });
    return {mean(static_cast<C>(sum), width), mean(static_cast<C>(square), width)};
}

template <class T> DEMI_RARE bool is_constant(const T* x, int64_t width) {
    const auto first = splat<T>(value_of(x));
    auto same = all_lanes<T>();
    for_lanes<T>(width,
                 [&] DEMI_LANES { same = mask_and(same, equal(only(n, get(x + i, n), first), first)); });
    return all(same);
}

// The sums of one mean, corrected by the mean of what it leaves; once more where the first try was far off.
// `value` gives x f. False where squares leave the range.
template <class T, class C, class F>
DEMI_INLINE bool find_stats(int64_t width, const F& value, Stats<C>& s, C& variance) {
    s.mean = mean(sum_lanes<T>(width, value), width);
    Moments<C> d;
    for (int turn = 0;; ++turn) {
        const auto m = splat<T>(s.mean);
        d = moments<T>(width, [&] DEMI_LANES { return value(i, n) - m; });
        if (turn == 1 || d.mean * d.mean <= Small<C>::far * d.square) break;
        s.mean = s.mean + d.mean;
    }
    s.shift = d.mean;
    variance = d.square - d.mean * d.mean;
    if (variance < 0) variance = 0;
    return variance < kInf;
}

// A shift that moves no n by much is as good as none.
template <class C> DEMI_INLINE void drop_small_shift(Stats<C>& s) {
    const C moved = s.shift * s.rstd;
    if (moved < Small<C>::moved && moved > -Small<C>::moved) s.shift = 0;
}

template <class T, class C> DEMI_RARE void rare_stats(const T* x, int64_t width, C eps, Stats<C>& s) {
    if (is_constant(x, width)) {
        s = {0, 0, eps > 0 ? 1 / root(eps) : 0, 0};
        return;
    }
    s.factor = power_of_two<C>(balance(max_abs(x, width), Small<C>::target));
    const auto f = splat<T>(s.factor);
    C variance;
    find_stats<T>(
        width, [&] DEMI_LANES { return get(x + i, n) * f; }, s, variance);
    s.rstd = 1 / root_of_squares(root(variance), root(eps) * s.factor);
    drop_small_shift(s);
}

template <class T, class C> DEMI_INLINE void stats_of(const T* x, int64_t width, C eps, Stats<C>& s) {
    C variance;
    s.factor = 1;
    const bool fits = find_stats<T>(
        width, [&] DEMI_LANES { return get(x + i, n); }, s, variance);
    if (!fits || variance == 0 || variance + eps < Small<C>::variance) return rare_stats(x, width, eps, s);
    s.rstd = 1 / root(variance + eps);
    drop_small_shift(s);
}

// The same for two rows: sums in the same order, and the way above for a row that needs more than the first try.
template <class T, class C>
DEMI_INLINE void stats_of_two(const T* const (&x)[2], int64_t width, C eps, Stats<C> (&s)[2]) {
    double sum[2] = {}, shift[2] = {}, square[2] = {};
    for_blocks<T>(width, [&] DEMI_BLOCK {
        auto u = splat<T>(0), v = splat<T>(0);
        for_lanes<T>(begin, end, [&] DEMI_LANES {
            u = u + get(x[0] + i, n);
            v = v + get(x[1] + i, n);
        });
        sum[0] += static_cast<double>(hsum(u));
        sum[1] += static_cast<double>(hsum(v));
    });
    for (int k = 0; k < 2; ++k) s[k].mean = mean(static_cast<C>(sum[k]), width);
    const auto m0 = splat<T>(s[0].mean), m1 = splat<T>(s[1].mean);
    for_blocks<T>(width, [&] DEMI_BLOCK {
        auto u = splat<T>(0), v = splat<T>(0), uu = splat<T>(0), vv = splat<T>(0);
        for_lanes<T>(begin, end, [&] DEMI_LANES {
            const auto d0 = only(n, get(x[0] + i, n) - m0, splat<T>(0));
            const auto d1 = only(n, get(x[1] + i, n) - m1, splat<T>(0));
            u = u + d0;
            v = v + d1;
            uu = uu + d0 * d0;
            vv = vv + d1 * d1;
        });
        shift[0] += static_cast<double>(hsum(u));
        shift[1] += static_cast<double>(hsum(v));
        square[0] += static_cast<double>(hsum(uu));
        square[1] += static_cast<double>(hsum(vv));
    });
    for (int k = 0; k < 2; ++k) {
        s[k].shift = mean(static_cast<C>(shift[k]), width);
        s[k].factor = 1;
        const C all = mean(static_cast<C>(square[k]), width), moved = s[k].shift * s[k].shift;
        const C variance = all - moved;
        if (moved <= Small<C>::far * all && variance > 0 && variance < kInf &&
            variance + eps >= Small<C>::variance) {
            s[k].rstd = 1 / root(variance + eps);
            drop_small_shift(s[k]);
        } else {
            stats_of(x[k], width, eps, s[k]);
        }
    }
}

}  // namespace
}  // namespace demi::DEMI_BACKEND
