#include <cmath>
#include <limits>

#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/log_softmax/log_softmax_kernels.h"
#include "ops/softmax/softmax_isa.h"

namespace demi {

const SoftmaxIsa& softmax_isa();

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

bool all_masked(const double* row, int64_t width) {
    return std::all_of(row, row + width, [](double v) { return v == kMasked; });
}

void forward_f64(const double* x, double* y, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        if (all_masked(x, width)) {
            std::fill(y, y + width, kMasked);
            continue;
        }
        const double top = *std::max_element(x, x + width);
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) sum += std::exp(x[i] - top);
        const double shift = std::log(sum);
        for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - top) - shift;
    }
}

void backward_f64(const double* y, const double* dy, double* dx, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, y += width, dy += width, dx += width) {
        if (all_masked(y, width)) {
            std::fill(dx, dx + width, 0.0);
            continue;
        }
        const auto total = [&](double small) {
            double sum = 0;
            for (int64_t i = 0; i < width; ++i) sum += dy[i] * small;
            return sum;
        };
        const double small = std::isfinite(total(1)) ? 1 : 0x1p-100, sum = total(small);
        for (int64_t i = 0; i < width; ++i) dx[i] = (dy[i] * small - std::exp(y[i]) * sum) / small;
    }
}

void forward(const Tensor& x, Tensor& y) {
    const int64_t width = x.shape().back();
    const RowPointer in(x, width);
    const MutableRowPointer out(y, width);
    parallel_rows(x.numel() / width, width, [&](int64_t r, int64_t count) {
        if (x.dtype() == DType::f64) return forward_f64(in.at<double>(r), out.at<double>(r), count, width);
        softmax_isa().log_forward[isa_index(x.dtype(), "log_softmax")](in[r], out[r], count, width);
    });
}

void backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
    const int64_t width = y.shape().back();
    const RowPointer value(y, width), grad(dy, width);
    const MutableRowPointer out(dx, width);
    parallel_rows(y.numel() / width, width, [&](int64_t r, int64_t count) {
        if (y.dtype() == DType::f64)
            return backward_f64(value.at<double>(r), grad.at<double>(r), out.at<double>(r), count, width);
        softmax_isa().log_backward[isa_index(y.dtype(), "log_softmax")](value[r], grad[r], out[r], count,
                                                                        width);
    });
}

}  // namespace

const SoftmaxKernels log_softmax_cpu{.forward = forward, .backward = backward};

}  // namespace demi
