#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> void apply_as(const ApplyTaps& c) {
    const int64_t grain = c.inner < 8192 ? 8192 / c.inner : 1;
    parallel_ranges(c.outer * c.out, grain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const T* x = elements<T>(c.x) + r / c.out * c.in * c.inner;
            T* y = row<T>(c.y, r, c.inner);
            for (int64_t i = 0; i < c.inner; ++i) y[i] = 0;
            const int64_t o = r % c.out;
            for (int64_t k = c.start[o]; k < c.start[o + 1]; ++k) {
                const T* from = x + c.index[k] * c.inner;
                const T w = static_cast<T>(c.weight[k]);
                for (int64_t i = 0; i < c.inner; ++i) y[i] += w * from[i];
            }
            for (int64_t i = 0; i < c.inner; ++i) {
                if (__builtin_isfinite(y[i])) continue;
                T quarter = 0;  // the sum may fit though its parts do not
                for (int64_t k = c.start[o]; k < c.start[o + 1]; ++k)
                    quarter += static_cast<T>(c.weight[k]) / 4 * x[c.index[k] * c.inner + i];
                y[i] = quarter * 4;
            }
        }
    });
}

void apply(const ApplyTaps& c, Queue) { c.x.dtype == DType::f64 ? apply_as<double>(c) : apply_as<float>(c); }

}  // namespace

const InterpolateBicubicKernels interpolate_bicubic_kernels{apply};

}  // namespace demi::DEMI_BACKEND
