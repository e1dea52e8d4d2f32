#include "ops/layer_scale/layer_scale_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T>
void forward_row(const T* x, const lane_t<T>* gamma, const T* residual, T* y, int64_t width) {
    if (residual == nullptr)
        for_lanes<T>(width, [&] DEMI_LANES { put(y + i, get(x + i, n) * get(gamma + i, n), n); });
    else
        for_lanes<T>(width, [&] DEMI_LANES {
            put(y + i, fma(get(x + i, n), get(gamma + i, n), get(residual + i, n)), n);
        });
}

void forward(const LayerScaleForward& c, Queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
            for (int64_t r = first; r < first + count; ++r)
                forward_row(row<T>(c.x, r, c.width), elements<lane_t<T>>(c.gamma),
                            row<T>(c.residual, r, c.width), row<T>(c.y, r, c.width), c.width);
        });
    });
}

// Writes dx and adds to dgamma, each where it is not null.
template <class T>
void backward_row(const T* x, const lane_t<T>* gamma, const T* dy, T* dx, lane_t<T>* dgamma, int64_t width) {
    if (dx != nullptr)
        for_lanes<T>(width, [&] DEMI_LANES { put(dx + i, get(dy + i, n) * get(gamma + i, n), n); });
    if (dgamma != nullptr)
        for_lanes<T>(width, [&] DEMI_LANES {
            put(dgamma + i, fma(get(dy + i, n), get(x + i, n), get(dgamma + i, n)), n);
        });
}

void backward(const LayerScaleBackward& c, Queue queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        typedef lane_t<T> C;
        const auto rows = [&](int64_t first, int64_t count, C* dgamma) {
            for (int64_t r = first; r < first + count; ++r)
                backward_row(row<T>(c.x, r, c.width), elements<C>(c.gamma), row<T>(c.dy, r, c.width),
                             row<T>(c.dx, r, c.width), dgamma, c.width);
        };
        if (c.dgamma.data == nullptr)
            return parallel_rows(c.rows, c.width,
                                 [&](int64_t first, int64_t count) { rows(first, count, nullptr); });
        sum_rows(c.rows, c.width, {elements<C>(c.dgamma)}, queue,
                 [&](int64_t first, int64_t count, C* const(&sums)[1]) { rows(first, count, sums[0]); });
    });
}

}  // namespace

const LayerScaleKernels layer_scale_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
