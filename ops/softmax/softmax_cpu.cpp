#include "ops/softmax/softmax_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// Nothing but -inf. The maximum alone may have lost a NaN, the sum has not.
template <class T> DEMI_INLINE bool all_masked(const T* x, lane_t<T> top, int64_t width) {
    return top == -kInf && sum_lanes<T>(width, [&] DEMI_LANES { return get(x + i, n); }) == -kInf;
}

// e: room for `width` values, y itself where that has the type; not for kLog.
template <bool kLog, class T, class C> DEMI_INLINE void forward_row(const T* x, T* y, C* e, int64_t width) {
    const C top = max_lanes(x, width);
    if (all_masked(x, top, width)) return fill_row(y, kLog ? -kInf : 0, width);
    const auto m = splat<T>(top);
    const C sum = sum_lanes<T>(width, [&] DEMI_LANES {
        const auto p = exp(get(x + i, n) - m);
        if constexpr (!kLog) put(e + i, p, n);
        return only(n, p, splat<T>(0));
    });
    if constexpr (kLog) {
        const auto shift = splat<T>(log_of(sum));
        for_lanes<T>(width, [&] DEMI_LANES { put(y + i, (get(x + i, n) - m) - shift, n); });
    } else {
        const DivideBy<T> share(sum);
        for_lanes<T>(width, [&] DEMI_LANES { put(y + i, share(get(e + i, n)), n); });
    }
}

// kSmall: with dy times 2^-100, where sums or differences of dy leave the range. False where a result did: not where
// squares of dy fit, for the y of a row add up to 1.
template <bool kLog, bool kSmall, class T>
DEMI_INLINE bool backward_row(const T* y, const T* dy, T* dx, int64_t width) {
    const auto down = splat<T>(0x1p-100f), up = splat<T>(0x1p100f);
    const auto grad = [&] DEMI_LANES {
        const auto g = get(dy + i, n);
        return kSmall ? g * down : g;
    };
    SquaresFit<T> fit;
    const lane_t<T> total = sum_lanes<T>(width, [&] DEMI_LANES {
        const auto g = grad(i, n);
        if constexpr (kLog) return g;
        fit.add(g);
        return get(y + i, n) * g;
    });
    const auto sum = splat<T>(total);
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto v = get(y + i, n), g = grad(i, n);
        const auto d = kLog ? fnma(exp(v), sum, g) : v * (g - sum);
        put(dx + i, kSmall ? d * up : d, n);
    });
    return kSmall || (kLog ? total - total == 0 : fit.good() || all_finite(dx, width));
}
template <bool kLog, class T>
DEMI_RARE void backward_small_row(const T* y, const T* dy, T* dx, int64_t width) {
    backward_row<kLog, true>(y, dy, dx, width);
}

// fn.operator()<T, kLog>()
template <class F> DEMI_INLINE void dispatch(DType dtype, bool log, const F& fn) {
    dispatch_float(dtype, [&]<class T>() {
        log ? fn.template operator()<T, true>() : fn.template operator()<T, false>();
    });
}

void forward(const SoftmaxForward& call, Queue queue) {
    dispatch(call.x.dtype, call.log, [&]<class T, bool kLog>() {
        typedef lane_t<T> C;
        parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
            const SoftmaxForward c = call;
            constexpr bool aside = !kLog && sizeof(T) != sizeof(C);
            const Scratch work(aside ? static_cast<size_t>(c.width) * sizeof(C) : 0, queue);
            C* const e = work.as<C>();
            for (int64_t r = first; r < first + count; ++r)
                forward_row<kLog>(row<T>(c.x, r, c.width), row<T>(c.y, r, c.width),
                                  aside ? e : row<C>(c.y, r, c.width), c.width);
        });
    });
}

void backward(const SoftmaxBackward& call, Queue) {
    dispatch(call.y.dtype, call.log, [&]<class T, bool kLog>() {
        for_rows(call, [](const SoftmaxBackward& c, int64_t r) {
            const T *y = row<T>(c.y, r, c.width), *dy = row<T>(c.dy, r, c.width);
            T* dx = row<T>(c.dx, r, c.width);
            if (kLog && value_of(y) == -kInf && max_lanes(y, c.width) == -kInf)
                fill_row(dx, 0, c.width);
            else if (!backward_row<kLog, false>(y, dy, dx, c.width))
                backward_small_row<kLog>(y, dy, dx, c.width);
        });
    });
}

}  // namespace

const SoftmaxKernels softmax_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
