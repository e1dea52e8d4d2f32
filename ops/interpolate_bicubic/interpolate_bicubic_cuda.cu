#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> struct TapsKernel {
    static constexpr int threads = 256;
    ApplyTaps c;

    DEMI_DEVICE void operator()() const {
        const int64_t count = c.outer * c.out * c.inner;
        for (int64_t n = gpu::global_index(); n < count; n += gpu::global_size()) {
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
    }
};

void apply(const ApplyTaps& c, Queue queue) {
    const gpu::Dim3 grid = gpu::blocks_for(c.outer * c.out * c.inner, 256);
    if (c.x.dtype == DType::f64)
        gpu::launch(TapsKernel<double>{c}, grid, {256}, 0, queue.stream);
    else
        gpu::launch(TapsKernel<float>{c}, grid, {256}, 0, queue.stream);
}

}  // namespace

const InterpolateBicubicKernels interpolate_bicubic_kernels{apply};

}  // namespace demi::DEMI_BACKEND
