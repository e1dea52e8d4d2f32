#include "ops/swiglu/swiglu_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// A power of two: the product of two numbers that were multiplied with it fits.
template <class T> constexpr lane_t<T> kDown = 0x1p-64f;
template <> constexpr double kDown<double> = 0x1p-512;

template <class T> void forward_row(const T* a, const T* b, T* y, int64_t half) {
    for_lanes<T>(half, [&] DEMI_LANES {
        const auto s = silu_parts(get(a + i, n));
        put(y + i, s.value * get(b + i, n) * s.scale, n);
    });
}

// g b slope, where g b may leave the range and slope bring it back.
template <class T, class V, class Parts> DEMI_INLINE V gate_grad(V g, V b, const Parts& s) {
    const V product = g * b, there = product * s.slope * s.scale;
    const auto far = equal(abs(product), splat<T>(__builtin_inff()));
    if (!any(far)) return there;
    const V down = splat<T>(kDown<T>), up = splat<T>(1 / kDown<T>);
    return select(far, (g * down) * (b * down) * s.slope * s.scale * up * up, there);
}

template <class T> void backward_row(const T* a, const T* b, const T* dy, T* da, T* db, int64_t half) {
    for_lanes<T>(half, [&] DEMI_LANES {
        const auto g = get(dy + i, n);
        const auto s = silu_parts(get(a + i, n));
        put(da + i, gate_grad<T>(g, get(b + i, n), s), n);
        put(db + i, g * s.value * s.scale, n);
    });
}

void forward(const SwigluForward& c, Queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        parallel_rows(c.rows, 2 * c.half, [&](int64_t first, int64_t count) {
            for (int64_t r = first; r < first + count; ++r) {
                const T* x = elements<T>(c.x) + 2 * c.half * r;
                forward_row(x, x + c.half, elements<T>(c.y) + c.half * r, c.half);
            }
        });
    });
}

void backward(const SwigluBackward& c, Queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        parallel_rows(c.rows, 2 * c.half, [&](int64_t first, int64_t count) {
            for (int64_t r = first; r < first + count; ++r) {
                const T* x = elements<T>(c.x) + 2 * c.half * r;
                T* dx = elements<T>(c.dx) + 2 * c.half * r;
                backward_row(x, x + c.half, elements<T>(c.dy) + c.half * r, dx, dx + c.half, c.half);
            }
        });
    });
}

}  // namespace

const SwigluKernels swiglu_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
