#include "ops/softmax/softmax_kernels.h"

#include <cmath>
#include <limits>
#include <vector>

#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/softmax/softmax_isa.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(SoftmaxIsa, softmax_isa)

namespace {

void forward_f64(const double* x, double* y, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        const double top = *std::max_element(x, x + width);
        if (std::all_of(x, x + width,
                        [](double v) { return v == -std::numeric_limits<double>::infinity(); })) {
            std::fill(y, y + width, 0.0);
            continue;
        }
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) sum += y[i] = std::exp(x[i] - top);
        for (int64_t i = 0; i < width; ++i) y[i] /= sum;
    }
}

// dy counts `small` times while sums and differences are taken. False where a result left the range.
bool backward_row(const double* y, const double* dy, double* dx, int64_t width, double small) {
    double dot = 0;
    bool good = true;
    for (int64_t i = 0; i < width; ++i) dot += y[i] * (dy[i] * small);
    for (int64_t i = 0; i < width; ++i) {
        dx[i] = y[i] * (dy[i] * small - dot);
        good = good && std::isfinite(dx[i]);
        dx[i] /= small;
    }
    return good;
}

void backward_f64(const double* y, const double* dy, double* dx, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, y += width, dy += width, dx += width)
        if (!backward_row(y, dy, dx, width, 1)) backward_row(y, dy, dx, width, 0x1p-100);
}

void forward(const Tensor& x, Tensor& y) {
    const int64_t width = x.shape().back();
    const RowPointer in(x, width);
    const MutableRowPointer out(y, width);
    parallel_rows(x.numel() / width, width, [&](int64_t r, int64_t count) {
        if (x.dtype() == DType::f64) return forward_f64(in.at<double>(r), out.at<double>(r), count, width);
        std::vector<float> work(is_half(x.dtype()) ? static_cast<size_t>(width) : 0);
        softmax_isa().forward[isa_index(x.dtype(), "softmax")](in[r], out[r], work.data(), count, width);
    });
}

void backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
    const int64_t width = y.shape().back();
    const RowPointer value(y, width), grad(dy, width);
    const MutableRowPointer out(dx, width);
    parallel_rows(y.numel() / width, width, [&](int64_t r, int64_t count) {
        if (y.dtype() == DType::f64)
            return backward_f64(value.at<double>(r), grad.at<double>(r), out.at<double>(r), count, width);
        softmax_isa().backward[isa_index(y.dtype(), "softmax")](value[r], grad[r], out[r], count, width);
    });
}

}  // namespace

const SoftmaxKernels softmax_cpu{.forward = forward, .backward = backward};

}  // namespace demi
