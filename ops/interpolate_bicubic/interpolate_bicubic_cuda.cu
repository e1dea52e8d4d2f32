#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> struct Taps {
    ApplyTaps c;

    DEMI_DEVICE void operator()(int64_t n) const {
        const int64_t row = n / c.inner, column = n - row * c.inner;
        const int64_t outer = row / c.out, i = row - outer * c.out;
        const T* x = elements<T>(c.x) + outer * c.in * c.inner + column;
        T sum = 0, quarter = 0;
        for (int64_t k = c.start[i]; k < c.start[i + 1]; ++k)
            sum += static_cast<T>(c.weight[k]) * x[c.index[k] * c.inner];
        for (int64_t k = c.start[i]; !gpu::is_finite(sum) && k < c.start[i + 1]; ++k)
            quarter += static_cast<T>(c.weight[k]) / 4 * x[c.index[k] * c.inner];
        elements<T>(c.y)[n] = gpu::is_finite(sum) ? sum : quarter * 4;
    }
};

void apply(const ApplyTaps& c, Queue queue) {
    const int64_t count = c.outer * c.out * c.inner;
    if (c.x.dtype == DType::f64)
        launch_each(Taps<double>{c}, count, queue);
    else
        launch_each(Taps<float>{c}, count, queue);
}

}  // namespace

const InterpolateBicubicKernels interpolate_bicubic_kernels{apply};

}  // namespace demi::DEMI_BACKEND
