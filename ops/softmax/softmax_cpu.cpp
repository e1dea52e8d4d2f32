#include "ops/softmax/softmax_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// Nothing but -inf. The maximum alone may have lost a NaN, the sum has not.
template <class T> DEMI_INLINE bool all_masked(const T* x, lane_t<T> top, int64_t width) {
    return top == -kInf && sum_lanes<T>(width, [&] DEMI_LANES { return get(x + i, n); }) == -kInf;
}

// e: room for `width` values, y itself where that has the type.
template <class T> void forward_row(const T* x, T* y, lane_t<T>* e, int64_t width) {
    const lane_t<T> top = max_lanes(x, width);
    if (all_masked(x, top, width)) return fill_row(y, 0, width);
    const auto m = splat<T>(top);
    const lane_t<T> sum = sum_lanes<T>(width, [&] DEMI_LANES {
        const auto p = exp(get(x + i, n) - m);
        put(e + i, p, n);
        return only(n, p, splat<T>(0));
    });
    const DivideBy<T> share(sum);
    for_lanes<T>(width, [&] DEMI_LANES { put(y + i, share(get(e + i, n)), n); });
}

template <class T> void log_forward_row(const T* x, T* y, int64_t width) {
    const lane_t<T> top = max_lanes(x, width);
    if (all_masked(x, top, width)) return fill_row(y, -kInf, width);
    const auto m = splat<T>(top);
    const lane_t<T> sum =
        sum_lanes<T>(width, [&] DEMI_LANES { return only(n, exp(get(x + i, n) - m), splat<T>(0)); });
    const auto shift =
        splat<T>(sizeof(T) == 8 ? __builtin_log(sum) : __builtin_logf(static_cast<float>(sum)));
    for_lanes<T>(width, [&] DEMI_LANES { put(y + i, (get(x + i, n) - m) - shift, n); });
}

// kSmall: with dy times 2^-100, where sums or differences of dy leave the range. False where a result did: not where
// squares of dy fit, for the y of a row add up to 1.
template <bool kSmall, class T> DEMI_INLINE bool backward_row(const T* y, const T* dy, T* dx, int64_t width) {
    const auto down = splat<T>(0x1p-100f), up = splat<T>(0x1p100f);
    const auto grad = [&] DEMI_LANES {
        const auto g = get(dy + i, n);
        return kSmall ? g * down : g;
    };
    SquaresFit<T> fit;
    const auto dot = splat<T>(sum_lanes<T>(width, [&] DEMI_LANES {
        const auto g = grad(i, n);
        fit.add(g);
        return get(y + i, n) * g;
    }));
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto d = get(y + i, n) * (grad(i, n) - dot);
        put(dx + i, kSmall ? d * up : d, n);
    });
    return kSmall || fit.good() || all_finite(dx, width);
}

// kSmall as above. False where the sum left the range.
template <bool kSmall, class T>
DEMI_INLINE bool log_backward_row(const T* y, const T* dy, T* dx, int64_t width) {
    const auto down = splat<T>(0x1p-100f), up = splat<T>(0x1p100f);
    const auto grad = [&] DEMI_LANES {
        const auto g = get(dy + i, n);
        return kSmall ? g * down : g;
    };
    const lane_t<T> total = sum_lanes<T>(width, grad);
    if (!kSmall && !(total - total == 0)) return false;
    const auto sum = splat<T>(total);
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto d = fnma(exp(get(y + i, n)), sum, grad(i, n));
        put(dx + i, kSmall ? d * up : d, n);
    });
    return true;
}

void forward(const SoftmaxForward& c, Queue queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        typedef lane_t<T> C;
        parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
            constexpr bool in_place = sizeof(T) == sizeof(C);
            const Scratch work(in_place || c.log ? 0 : static_cast<size_t>(c.width) * sizeof(C), queue);
            for (int64_t r = first; r < first + count; ++r) {
                const T* x = row<T>(c.x, r, c.width);
                T* y = row<T>(c.y, r, c.width);
                if (c.log)
                    log_forward_row(x, y, c.width);
                else
                    forward_row(x, y, in_place ? row<C>(c.y, r, c.width) : work.as<C>(), c.width);
            }
        });
    });
}

void backward(const SoftmaxBackward& c, Queue) {
    dispatch_float(c.y.dtype, [&]<class T>() {
        parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
            for (int64_t r = first; r < first + count; ++r) {
                const T *y = row<T>(c.y, r, c.width), *dy = row<T>(c.dy, r, c.width);
                T* dx = row<T>(c.dx, r, c.width);
                if (!c.log)
                    (void)(backward_row<false>(y, dy, dx, c.width) || backward_row<true>(y, dy, dx, c.width));
                else if (value_of(y) == -kInf && max_lanes(y, c.width) == -kInf)
                    fill_row(dx, 0, c.width);
                else
                    (void)(log_backward_row<false>(y, dy, dx, c.width) ||
                           log_backward_row<true>(y, dy, dx, c.width));
            }
        });
    });
}

}  // namespace

const SoftmaxKernels softmax_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
