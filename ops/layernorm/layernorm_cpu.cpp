#include "ops/layernorm/layernorm_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

#define DEMI_RARE __attribute__((noinline))

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
    for (int64_t at = 0; at < width; at += kSumBlock<T>) {
        auto s = splat<T>(0), q = splat<T>(0);
        for_lanes<T>(
            width - at < kSumBlock<T> ? width - at : kSumBlock<T>, DEMI_LANES {
                const auto v = only(n, d(at + i, n), splat<T>(0));
                s = s + v;
                q = q + v * v;
            });
        sum += static_cast<double>(hsum(s));
        square += static_cast<double>(hsum(q));
    }
    return {mean(static_cast<C>(sum), width), mean(static_cast<C>(square), width)};
}

template <class T> DEMI_RARE bool is_constant(const T* x, int64_t width) {
    const auto first = splat<T>(value_of(x));
    auto same = all_lanes<T>();
    for_lanes<T>(
        width, DEMI_LANES { same = mask_and(same, equal(only(n, get(x + i, n), first), first)); });
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
        d = moments<T>(
            width, DEMI_LANES { return value(i, n) - m; });
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
        width, DEMI_LANES { return get(x + i, n) * f; }, s, variance);
    s.rstd = 1 / root_of_squares(root(variance), root(eps) * s.factor);
    drop_small_shift(s);
}

template <class T, class C> DEMI_INLINE void stats_of(const T* x, int64_t width, C eps, Stats<C>& s) {
    C variance;
    s.factor = 1;
    const bool fits = find_stats<T>(
        width, DEMI_LANES { return get(x + i, n); }, s, variance);
    if (!fits || variance == 0 || variance + eps < Small<C>::variance) return rare_stats(x, width, eps, s);
    s.rstd = 1 / root(variance + eps);
    drop_small_shift(s);
}

template <bool kPlain, class T, class Y, class C>
DEMI_INLINE void write_row(const T* x, const C* weight, const C* bias, const Stats<C>& s, Y* y,
                           int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    for_lanes<T>(
        width, DEMI_LANES {
            const auto v = get(x + i, n);
            const auto normal = (((kPlain ? v : v * f) - m) - c) * r;
            put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
        });
}

template <class T, class Y, class C>
void forward_rows(const LayernormForward& call, const C* weight, const C* bias, int64_t first,
                  int64_t count) {
    const int64_t width = call.width;
    for (int64_t r = first; r < first + count; ++r) {
        const T *x = row<T>(call.x, r, width), *residual = row<T>(call.residual, r, width);
        Y* y = row<Y>(call.y, r, width);
        if (residual != nullptr) {
            T* sum = row<T>(call.sum, r, width);
            for_lanes<T>(
                width, DEMI_LANES { put(sum + i, get(x + i, n) + get(residual + i, n), n); });
            x = sum;
        }
        Stats<C> s;
        stats_of(x, width, static_cast<C>(call.eps), s);
        if (s.factor == 1)
            write_row<true>(x, weight, bias, s, y, width);
        else
            write_row<false>(x, weight, bias, s, y, width);
        elements<Stats<C>>(call.stats)[r] = s;
    }
}

// One row of factor 1. The sums of g and g * n come first; dweight and dbias take their share while the row
// is in registers. False where a result is not finite.
template <bool kAffine, bool kInput, class T, class Y, class C>
DEMI_INLINE bool backward_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s,
                              T* dx, C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd);
    double total_g = 0, total_gn = 0;
    for (int64_t at = 0; at < width; at += kSumBlock<T>) {
        auto sum_g = splat<T>(0), sum_gn = splat<T>(0);
        for_lanes<T>(
            width - at < kSumBlock<T> ? width - at : kSumBlock<T>, DEMI_LANES {
                const int64_t k = at + i;
                const auto d = get(dy + k, n);
                const auto normal = ((get(x + k, n) - m) - c) * r;  // dy is 0 in unused lanes
                if constexpr (kAffine) {
                    put(dweight + k, fma(d, normal, get(dweight + k, n)), n);
                    put(dbias + k, get(dbias + k, n) + d, n);
                }
                if constexpr (kInput) {
                    const auto g = d * get(weight + k, n);
                    sum_g = sum_g + g;
                    sum_gn = fma(g, normal, sum_gn);
                }
            });
        total_g += static_cast<double>(hsum(sum_g));
        total_gn += static_cast<double>(hsum(sum_gn));
    }
    auto good = all_lanes<T>();
    if constexpr (kInput) {
        const auto a = splat<T>(mean(static_cast<C>(total_g), width)),
                   b = splat<T>(mean(static_cast<C>(total_gn), width));
        for_lanes<T>(
            width, DEMI_LANES {
                const auto normal = ((get(x + i, n) - m) - c) * r;
                const auto g = get(dy + i, n) * get(weight + i, n);
                auto out = r * fnma(normal, b, g - a);
                if (dsum != nullptr) out = out + get(dsum + i, n);
                good = mask_and(good, is_finite(out));
                put(dx + i, out, n);
            });
    }
    return all(good);
}

// Any row, with dy times 2^h; the mean of g is corrected, so that a constant row turns a constant g into 0.
template <class T, class Y, class C>
DEMI_RARE void rare_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s, T* dx,
                        C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    const auto normal = DEMI_LANES { return ((get(x + i, n) * f - m) - c) * r; };
    if (dweight != nullptr)
        for_lanes<T>(
            width, DEMI_LANES {
                const auto d = get(dy + i, n);
                put(dweight + i, fma(d, normal(i, n), get(dweight + i, n)), n);
                put(dbias + i, get(dbias + i, n) + d, n);
            });
    if (dx == nullptr) return;
    const int h = balance(max_abs(dy, width), -10), e = s.factor == 0 ? 0 : exponent_of(s.factor);
    const auto down = splat<T>(power_of_two<C>(h)), back = splat<T>(static_cast<C>(e - h));
    const auto grad = DEMI_LANES { return get(dy + i, n) * down * get(weight + i, n); };
    auto a = splat<T>(mean(sum_lanes<T>(width, grad), width));
    a = a + splat<T>(mean(sum_lanes<T>(
                              width, DEMI_LANES { return only(n, grad(i, n) - a, splat<T>(0)); }),
                          width));
    const auto b = splat<T>(mean(sum_lanes<T>(
                                     width, DEMI_LANES { return grad(i, n) * normal(i, n); }),
                                 width));
    for_lanes<T>(
        width, DEMI_LANES {
            auto out = scale_by_exponent(r * fnma(normal(i, n), b, grad(i, n) - a), back);
            if (dsum != nullptr) out = out + get(dsum + i, n);
            put(dx + i, out, n);
        });
}

// Adds to dweight and dbias where they are not null.
template <class T, class Y, class C>
void backward_rows(const LayernormBackward& call, const C* weight, int64_t first, int64_t count, C* dweight,
                   C* dbias) {
    const int64_t width = call.width;
    for (int64_t r = first; r < first + count; ++r) {
        const T *x = row<T>(call.x, r, width), *dsum = row<T>(call.dsum, r, width);
        const Y* dy = row<Y>(call.dy, r, width);
        T* dx = row<T>(call.dx, r, width);
        const Stats<C> s = elements<Stats<C>>(call.stats)[r];
        if (s.factor != 1) {
            rare_row(x, dy, dsum, weight, s, dx, dweight, dbias, width);
            continue;
        }
        bool good = true;
        if (dweight != nullptr && dx != nullptr)
            good = backward_row<true, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else if (dweight != nullptr)
            backward_row<true, false>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else
            good = backward_row<false, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        if (!good) rare_row<T, Y, C>(x, dy, dsum, weight, s, dx, nullptr, nullptr, width);
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
template <class C> DEMI_INLINE const C* parameter(ConstMem m, C value, int64_t width, C* constant) {
    if (m.data != nullptr) return elements<C>(m);
    for (int64_t i = 0; i < width; ++i) constant[i] = value;
    return constant;
}

void forward(const LayernormForward& c, Queue queue) {
    with_types(c.x.dtype, c.y.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const bool constants = c.weight.data == nullptr || c.bias.data == nullptr;
        const Scratch scratch(constants ? static_cast<size_t>(2 * c.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(c.weight, 1, c.width, scratch.as<C>());
        const C* bias = parameter<C>(c.bias, 0, c.width, scratch.as<C>() + c.width);
        parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
            forward_rows<T, Y>(c, weight, bias, first, count);
        });
    });
}

void backward(const LayernormBackward& c, Queue queue) {
    with_types(c.x.dtype, c.dy.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const Scratch scratch(c.weight.data == nullptr ? static_cast<size_t>(c.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(c.weight, 1, c.width, scratch.as<C>());
        if (c.dweight.data == nullptr)
            return parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
                backward_rows<T, Y, C>(c, weight, first, count, nullptr, nullptr);
            });
        sum_rows(c.rows, c.width, {elements<C>(c.dweight), elements<C>(c.dbias)}, queue,
                 [&](int64_t first, int64_t count, C* const(&sums)[2]) {
                     backward_rows<T, Y>(c, weight, first, count, sums[0], sums[1]);
                 });
    });
}

}  // namespace

const LayernormKernels layernorm_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
