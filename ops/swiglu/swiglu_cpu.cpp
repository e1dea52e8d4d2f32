#include "ops/swiglu/swiglu_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> void forward_row(const T* a, const T* b, T* y, int64_t half) {
    for_lanes<T>(half, DEMI_LANES { put(y + i, silu(get(a + i, n)) * get(b + i, n), n); });
}

template <class T> void backward_row(const T* a, const T* b, const T* dy, T* da, T* db, int64_t half) {
    const auto one = splat<T>(1);
    for_lanes<T>(half, DEMI_LANES {
        const auto u = get(a + i, n), g = get(dy + i, n);
        const auto s = sigmoid(u), v = u * s;
        put(da + i, g * get(b + i, n) * fma(v, one - s, s), n);
        put(db + i, g * v, n);
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
