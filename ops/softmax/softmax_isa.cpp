#include "ops/softmax/softmax_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

constexpr float kInf = __builtin_inff();

template <class A, class B> constexpr bool kSame = false;
template <class A> constexpr bool kSame<A, A> = true;

template <class T> DEMI_INLINE void fill_row(T* y, float value, int64_t width) {
    for_lanes(
        width, DEMI_LANES { put(y + i, broadcast(value), n); });
}

// Nothing but -inf. The maximum alone may have lost a NaN, the sum has not.
template <class T> DEMI_INLINE bool all_masked(const T* x, float top, int64_t width) {
    return top == -kInf && sum_lanes(
                               width, DEMI_LANES { return get(x + i, n); }) == -kInf;
}

template <class T> void forward(const void* x_, void* y_, float* work, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        T* y = static_cast<T*>(y_) + r * width;
        const float top = max_lanes(x, width);
        if (all_masked(x, top, width)) {
            fill_row(y, 0.f, width);
            continue;
        }
        float* e;
        if constexpr (kSame<T, float>)
            e = y;
        else
            e = work;
        const vf m = broadcast(top);
        const float sum = sum_lanes(
            width, DEMI_LANES {
                const vf p = exp(get(x + i, n) - m);
                put(e + i, p, n);
                return only(n, p, zero());
            });
        const vf scale = broadcast(1.f / sum);
        for_lanes(
            width, DEMI_LANES { put(y + i, get(e + i, n) * scale, n); });
    }
}

// kSmall: with dy times 2^-100, where sums or differences of dy leave the range. False where a result did.
template <bool kSmall, class T> DEMI_INLINE bool backward_row(const T* y, const T* dy, T* dx, int64_t width) {
    const vf down = broadcast(0x1p-100f), up = broadcast(0x1p100f);
    const auto grad = DEMI_LANES {
        const vf g = get(dy + i, n);
        return kSmall ? g * down : g;
    };
    const vf dot = broadcast(sum_lanes(
        width, DEMI_LANES { return get(y + i, n) * grad(i, n); }));
    vm good = all_lanes();
    for_lanes(
        width, DEMI_LANES {
            const vf d = get(y + i, n) * (grad(i, n) - dot);
            good = mask_and(good, is_finite(d));
            put(dx + i, kSmall ? d * up : d, n);
        });
    return all(good);
}

template <class T> void backward(const void* y_, const void* dy_, void* dx_, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* y = static_cast<const T*>(y_) + r * width;
        const T* dy = static_cast<const T*>(dy_) + r * width;
        T* dx = static_cast<T*>(dx_) + r * width;
        if (!backward_row<false>(y, dy, dx, width)) backward_row<true>(y, dy, dx, width);
    }
}

template <class T> void log_forward(const void* x_, void* y_, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        T* y = static_cast<T*>(y_) + r * width;
        const float top = max_lanes(x, width);
        if (all_masked(x, top, width)) {
            fill_row(y, -kInf, width);
            continue;
        }
        const vf m = broadcast(top);
        const float sum = sum_lanes(
            width, DEMI_LANES { return only(n, exp(get(x + i, n) - m), zero()); });
        const vf shift = broadcast(__builtin_logf(sum));
        for_lanes(
            width, DEMI_LANES { put(y + i, (get(x + i, n) - m) - shift, n); });
    }
}

// kSmall as above. False where the sum left the range.
template <bool kSmall, class T>
DEMI_INLINE bool log_backward_row(const T* y, const T* dy, T* dx, int64_t width) {
    const vf down = broadcast(0x1p-100f), up = broadcast(0x1p100f);
    const auto grad = DEMI_LANES {
        const vf g = get(dy + i, n);
        return kSmall ? g * down : g;
    };
    const float total = sum_lanes(width, grad);
    if (!kSmall && !(total - total == 0)) return false;
    const vf sum = broadcast(total);
    for_lanes(
        width, DEMI_LANES {
            const vf d = fnma(exp(get(y + i, n)), sum, grad(i, n));
            put(dx + i, kSmall ? d * up : d, n);
        });
    return true;
}

template <class T>
void log_backward(const void* y_, const void* dy_, void* dx_, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* y = static_cast<const T*>(y_) + r * width;
        const T* dy = static_cast<const T*>(dy_) + r * width;
        T* dx = static_cast<T*>(dx_) + r * width;
        if (to_float(y[0]) == -kInf && max_lanes(y, width) == -kInf)
            fill_row(dx, 0.f, width);
        else if (!log_backward_row<false>(y, dy, dx, width))
            log_backward_row<true>(y, dy, dx, width);
    }
}

}  // namespace

extern const SoftmaxIsa softmax_isa;
const SoftmaxIsa softmax_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                {backward<Half>, backward<BFloat16>, backward<float>},
                                {log_forward<Half>, log_forward<BFloat16>, log_forward<float>},
                                {log_backward<Half>, log_backward<BFloat16>, log_backward<float>}};

}  // namespace demi::DEMI_ISA_NS
