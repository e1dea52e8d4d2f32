#include <algorithm>
#include <cmath>

#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"
#include "runtime/parallel.h"

namespace demi {

namespace {

template <class T> void apply_as(const Tensor& x, const Taps& taps, Tensor& y) {
    const int64_t outer = x.size(0), inner = x.size(2);
    const T* in = x.data<T>();
    T* out = y.mutable_data<T>();
    const std::vector<T> weight(taps.weight.begin(), taps.weight.end());
    const int64_t grain = std::max<int64_t>(1, 8192 / inner);
    parallel_ranges(outer * taps.out, grain, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const T* base = in + row / taps.out * taps.in * inner;
            T* to = out + row * inner;
            std::fill(to, to + inner, T{0});
            const size_t i = static_cast<size_t>(row % taps.out);
            const size_t first = static_cast<size_t>(taps.start[i]),
                         last = static_cast<size_t>(taps.start[i + 1]);
            for (size_t k = first; k < last; ++k) {
                const T* from = base + taps.index[k] * inner;
                const T w = weight[k];
                for (int64_t c = 0; c < inner; ++c) to[c] += w * from[c];
            }
            for (int64_t c = 0; c < inner; ++c) {
                if (std::isfinite(to[c])) continue;
                T quarter = 0;  // the sum may fit though its parts do not
                for (size_t k = first; k < last; ++k)
                    quarter += weight[k] / 4 * base[taps.index[k] * inner + c];
                to[c] = quarter * 4;
            }
        }
    });
}

void apply(const Tensor& x, const Taps& taps, Tensor& y) {
    x.dtype() == DType::f64 ? apply_as<double>(x, taps, y) : apply_as<float>(x, taps, y);
}

}  // namespace

const InterpolateBicubicKernels interpolate_bicubic_cpu{.apply = apply};

}  // namespace demi
