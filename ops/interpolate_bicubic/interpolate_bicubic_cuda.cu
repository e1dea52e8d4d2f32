#include "ops/interpolate_bicubic/interpolate_bicubic_cuda.h"

#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

template <class T> struct TapsKernel {
    static constexpr int threads = 256;
    TapsCall p;

    DEMI_DEVICE void operator()() const {
        const int64_t count = p.outer * p.out * p.inner;
        for (int64_t n = gpu::global_index(); n < count; n += gpu::global_size()) {
            const int64_t row = n / p.inner, column = n - row * p.inner;
            const int64_t outer = row / p.out, i = row - outer * p.out;
            const T* x = static_cast<const T*>(p.x) + outer * p.in * p.inner + column;
            T sum = 0, quarter = 0;
            for (int64_t k = p.start[i]; k < p.start[i + 1]; ++k)
                sum += static_cast<T>(p.weight[k]) * x[p.index[k] * p.inner];
            for (int64_t k = p.start[i]; !gpu::is_finite(sum) && k < p.start[i + 1]; ++k)
                quarter += static_cast<T>(p.weight[k]) / 4 * x[p.index[k] * p.inner];
            static_cast<T*>(p.y)[n] = gpu::is_finite(sum) ? sum : quarter * 4;
        }
    }
};

}  // namespace

void apply_taps(gpu::Type type, const TapsCall& call, gpu::Stream stream) {
    const gpu::Dim3 grid = gpu::blocks_for(call.outer * call.out * call.inner, 256);
    if (type == gpu::Type::f64)
        gpu::launch(TapsKernel<double>{call}, grid, {256}, 0, stream);
    else
        gpu::launch(TapsKernel<float>{call}, grid, {256}, 0, stream);
}

}  // namespace demi::gpu_kernels
