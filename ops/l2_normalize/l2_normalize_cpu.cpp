#include "ops/l2_normalize/l2_normalize_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class C> constexpr int kTarget = sizeof(C) == 8 ? 200 : 30;
// Squares of at least this lose nothing to underflow; lengths between these have such squares.
template <class C> constexpr C kLeastSquare = static_cast<C>(sizeof(C) == 8 ? 1e-290 : 1e-30);
template <class C> constexpr C kLeastNorm = static_cast<C>(sizeof(C) == 8 ? 1e-145 : 1e-15);
// By this a gradient may be divided whose square fits.
constexpr float kPlainNorm = 0x1p-30f;
template <class C> constexpr C kMostNorm = static_cast<C>(sizeof(C) == 8 ? 1e154 : 1.8e19);

// Rows whose squares, or products with dy, leave the range: with x times 2^e and dy times 2^h.
template <class T> struct Scaled {
    typedef lane_t<T> C;
    int e;
    C factor, norm;  // of x times factor

    DEMI_INLINE Scaled(const T* x, int64_t width)
        : e(balance(max_abs(x, width), kTarget<C>)), factor(power_of_two<C>(e)) {
        const auto f = splat<T>(factor);
        norm = root(sum_lanes<T>(width, [&] DEMI_LANES {
            const auto v = get(x + i, n) * f;
            return v * v;
        }));
    }
};

template <class T, class C> DEMI_RARE C forward_scaled(const T* x, T* y, C eps, int64_t width) {
    const Scaled<T> s(x, width);
    const bool free = s.norm > eps * s.factor;
    const auto factor = splat<T>(free ? s.factor : 1);
    const DivideBy<T> scale(free ? s.norm : eps);
    for_lanes<T>(width, [&] DEMI_LANES { put(y + i, scale(get(x + i, n) * factor), n); });
    return s.norm / s.factor;
}

// Gives the row's length.
template <class T, class C> DEMI_INLINE C forward_row(const T* x, T* y, C eps, int64_t width) {
    const C square = sum_lanes<T>(width, [&] DEMI_LANES {
        const auto v = get(x + i, n);
        return v * v;
    });
    if (!(square >= kLeastSquare<C> && square < kInf)) return forward_scaled(x, y, eps, width);
    const C norm = root(square);
    const DivideBy<T> scale(norm > eps ? norm : eps);
    for_lanes<T>(width, [&] DEMI_LANES { put(y + i, scale(get(x + i, n)), n); });
    return norm;
}

template <class T> DEMI_RARE void backward_scaled(const T* x, const T* dy, T* dx, int64_t width) {
    typedef lane_t<T> C;
    const Scaled<T> s(x, width);
    const int h = balance(max_abs(dy, width), kTarget<C>);
    const auto factor = splat<T>(s.factor), down = splat<T>(power_of_two<C>(h));
    const auto back = splat<T>(static_cast<C>(s.e - h));
    const DivideBy<T> scale(s.norm);
    const auto along = splat<T>(sum_lanes<T>(
        width, [&] DEMI_LANES { return scale(get(x + i, n) * factor) * (get(dy + i, n) * down); }));
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto y = scale(get(x + i, n) * factor);
        put(dx + i, scale_by_exponent(scale(fnma(y, along, get(dy + i, n) * down)), back), n);
    });
}

template <class T, class C>
DEMI_INLINE void backward_row(const T* x, C norm, C eps, const T* dy, T* dx, int64_t width) {
    const bool free = norm > eps;
    constexpr bool f64 = sizeof(C) == 8;
    const C d = free ? norm : eps;
    const DivideBy<T> scale(d);
    auto along = splat<T>(0);
    SquaresFit<T> fit;
    if (free) {
        const C dot = sum_lanes<T>(width, [&] DEMI_LANES {
            const auto v = get(x + i, n), g = get(dy + i, n);
            fit.add(g);
            return (f64 ? v : scale(v)) * g;
        });
        along = splat<T>(f64 ? dot / (d * d) : dot * (1 / d));
    }
    for_lanes<T>(width,
                 [&] DEMI_LANES { put(dx + i, scale(fnma(get(x + i, n), along, get(dy + i, n))), n); });
    if (!free || (fit.good() && norm >= kPlainNorm && norm < kMostNorm<C>)) return;
    if (!(all_finite(dx, width) && norm >= kLeastNorm<C> && norm < kMostNorm<C>))
        backward_scaled(x, dy, dx, width);
}

void forward(const L2NormalizeForward& call, Queue) {
    dispatch_float(call.x.dtype, [&]<class T>() {
        for_rows(call, [](const L2NormalizeForward& c, int64_t r) {
            typedef lane_t<T> C;
            elements<C>(c.norms)[r] =
                forward_row(row<T>(c.x, r, c.width), row<T>(c.y, r, c.width), static_cast<C>(c.eps), c.width);
        });
    });
}

void backward(const L2NormalizeBackward& call, Queue) {
    dispatch_float(call.x.dtype, [&]<class T>() {
        for_rows(call, [](const L2NormalizeBackward& c, int64_t r) {
            typedef lane_t<T> C;
            backward_row(row<T>(c.x, r, c.width), elements<C>(c.norms)[r], static_cast<C>(c.eps),
                         row<T>(c.dy, r, c.width), row<T>(c.dx, r, c.width), c.width);
        });
    });
}

}  // namespace

const L2NormalizeKernels l2_normalize_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
