#include "ops/layernorm/layernorm_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// ---- mean and deviation of rows
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

// ---- rows
template <bool kPlain, class T, class Y, class C>
DEMI_INLINE void write_row(const T* x, const C* weight, const C* bias, const Stats<C>& s, Y* y,
                           int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto v = get(x + i, n);
        const auto normal = (((kPlain ? v : v * f) - m) - c) * r;
        put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
    });
}
template <class T, class Y, class C>
DEMI_RARE void write_scaled_row(const T* x, const C* weight, const C* bias, const Stats<C>& s, Y* y,
                                int64_t width) {
    write_row<false>(x, weight, bias, s, y, width);
}

// `count` rows from r on, one or two.
template <class T, class Y, class C>
DEMI_INLINE void forward_rows(const LayernormForward& c, const C* weight, const C* bias, int64_t r,
                              int count) {
    const T* x[2];
    Stats<C> s[2];
#pragma GCC unroll 1
    for (int k = 0; k < count; ++k) {
        const T *in = row<T>(c.x, r + k, c.width), *residual = row<T>(c.residual, r + k, c.width);
        T* sum = row<T>(c.sum, r + k, c.width);
        x[k] = residual == nullptr ? in : sum;
        if (residual != nullptr)
            for_lanes<T>(c.width, [&] DEMI_LANES { put(sum + i, get(in + i, n) + get(residual + i, n), n); });
    }
    (count == 2 ? stats_of<2, T, C> : stats_of<1, T, C>)(x, c.width, static_cast<C>(c.eps), s);
#pragma GCC unroll 1
    for (int k = 0; k < count; ++k) {
        Y* y = row<Y>(c.y, r + k, c.width);
        if (s[k].factor == 1) [[likely]]
            write_row<true>(x[k], weight, bias, s[k], y, c.width);
        else
            write_scaled_row(x[k], weight, bias, s[k], y, c.width);
        elements<Stats<C>>(c.stats)[r + k] = s[k];
    }
}

// One row of factor 1. The sums of g and g * n come first; dweight and dbias take their share while the row
// is in registers. False where a result is not finite.
template <bool kAffine, class T, class Y, class C>
DEMI_INLINE bool backward_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s,
                              T* dx, C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd);
    C sums[2];
    sums_of_lanes<T>(width, sums, [&] DEMI_SUMS {
        const auto d = get(dy + i, n);
        const auto normal = ((get(x + i, n) - m) - c) * r;  // dy is 0 in unused lanes
        if constexpr (kAffine) {
            put(dweight + i, fma(d, normal, get(dweight + i, n)), n);
            put(dbias + i, get(dbias + i, n) + d, n);
        }
        const auto g = d * get(weight + i, n);
        sum[0] = sum[0] + g;
        sum[1] = fma(g, normal, sum[1]);
    });
    if (kAffine && dx == nullptr) return true;
    const auto a = splat<T>(mean(sums[0], width)), b = splat<T>(mean(sums[1], width));
    AllFinite<T> finite;
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto normal = ((get(x + i, n) - m) - c) * r;
        const auto g = get(dy + i, n) * get(weight + i, n);
        auto out = r * fnma(normal, b, g - a);
        if (dsum != nullptr) out = out + get(dsum + i, n);
        finite.add(out);
        put(dx + i, out, n);
    });
    return finite.good();
}

// Any row, with dy times 2^h; the mean of g is corrected, so that a constant row turns a constant g into 0.
template <class T, class Y, class C>
DEMI_RARE void rare_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s, T* dx,
                        C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    const auto normal = [&] DEMI_LANES { return ((get(x + i, n) * f - m) - c) * r; };
    if (dweight != nullptr)
        for_lanes<T>(width, [&] DEMI_LANES {
            const auto d = get(dy + i, n);
            put(dweight + i, fma(d, normal(i, n), get(dweight + i, n)), n);
            put(dbias + i, get(dbias + i, n) + d, n);
        });
    if (dx == nullptr) return;
    const int h = balance(max_abs(dy, width), -10), e = s.factor == 0 ? 0 : exponent_of(s.factor);
    const auto down = splat<T>(power_of_two<C>(h)), back = splat<T>(static_cast<C>(e - h));
    const auto grad = [&] DEMI_LANES { return get(dy + i, n) * down * get(weight + i, n); };
    auto a = splat<T>(mean(sum_lanes<T>(width, grad), width));
    a = a + splat<T>(mean(
                sum_lanes<T>(width, [&] DEMI_LANES { return only(n, grad(i, n) - a, splat<T>(0)); }), width));
    const auto b =
        splat<T>(mean(sum_lanes<T>(width, [&] DEMI_LANES { return grad(i, n) * normal(i, n); }), width));
    for_lanes<T>(width, [&] DEMI_LANES {
        auto out = scale_by_exponent(r * fnma(normal(i, n), b, grad(i, n) - a), back);
        if (dsum != nullptr) out = out + get(dsum + i, n);
        put(dx + i, out, n);
    });
}

// Adds to dweight and dbias where they are wanted (kAffine).
template <bool kAffine, class T, class Y, class C>
DEMI_INLINE void backward_rows(const LayernormBackward& call, const C* weight, int64_t first, int64_t count,
                               C* dweight, C* dbias) {
    const LayernormBackward c = call;
    for (int64_t r = first; r < first + count; ++r) {
        const T *x = row<T>(c.x, r, c.width), *dsum = row<T>(c.dsum, r, c.width);
        const Y* dy = row<Y>(c.dy, r, c.width);
        T* dx = row<T>(c.dx, r, c.width);
        const Stats<C> s = elements<Stats<C>>(c.stats)[r];
        if (s.factor != 1) [[unlikely]]
            rare_row(x, dy, dsum, weight, s, dx, dweight, dbias, c.width);
        else if (!backward_row<kAffine>(x, dy, dsum, weight, s, dx, dweight, dbias, c.width)) [[unlikely]]
            rare_row<T, Y, C>(x, dy, dsum, weight, s, dx, nullptr, nullptr, c.width);
    }
}

// fn.operator()<T, Y>(); Y is the type of y and dy.
template <class F> DEMI_INLINE void with_types(DType x, DType y, const F& fn) {
    dispatch_float(x, [&]<class T>() {
        if constexpr (sizeof(T) == 4) {
            if (y == DType::f16) return fn.template operator()<T, Half>();
            if (y == DType::bf16) return fn.template operator()<T, BFloat16>();
        }
        fn.template operator()<T, T>();
    });
}

// The parameter's memory, or `constant`, filled with `value`, in its place.
template <class C> DEMI_RARE const C* parameter(ConstMem m, C value, int64_t width, C* constant) {
    if (m.data != nullptr) return elements<C>(m);
    fill_row(constant, value, width);
    return constant;
}

void forward(const LayernormForward& call, Queue queue) {
    with_types(call.x.dtype, call.y.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const bool constants = call.weight.data == nullptr || call.bias.data == nullptr;
        const Scratch scratch(constants ? static_cast<size_t>(2 * call.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(call.weight, 1, call.width, scratch.as<C>());
        const C* bias = parameter<C>(call.bias, 0, call.width, scratch.as<C>() + call.width);
        parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
            const LayernormForward c = call;
            for (int64_t r = first, end = first + count; r < end; r += 2)
                forward_rows<T, Y>(c, weight, bias, r, r + 1 < end ? 2 : 1);
        });
    });
}

void backward(const LayernormBackward& call, Queue queue) {
    with_types(call.x.dtype, call.dy.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const size_t constants = call.weight.data == nullptr ? static_cast<size_t>(call.width) : 0;
        const Scratch scratch(constants * sizeof(C), queue);
        const C* weight = parameter<C>(call.weight, 1, call.width, scratch.as<C>());
        if (call.dweight.data == nullptr)
            return parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
                backward_rows<false, T, Y, C>(call, weight, first, count, nullptr, nullptr);
            });
        sum_rows(call.rows, call.width, {elements<C>(call.dweight), elements<C>(call.dbias)}, queue,
                 [&](int64_t first, int64_t count, C* const(&sums)[2]) {
                     backward_rows<true, T, Y>(call, weight, first, count, sums[0], sums[1]);
                 });
    });
}

}  // namespace

const LayernormKernels layernorm_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
