#include <cmath>

#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/l2_normalize/l2_normalize_isa.h"
#include "ops/l2_normalize/l2_normalize_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(L2NormalizeIsa, l2_normalize_isa)

namespace {

// Of x times 2^e.
double norm_of(const double* x, int64_t width, int e) {
    double square = 0;
    for (int64_t i = 0; i < width; ++i) {
        const double v = e == 0 ? x[i] : std::ldexp(x[i], e);
        square += v * v;
    }
    return std::sqrt(square);
}
// Squares neither overflow nor, to any effect, underflow.
bool is_plain(double norm) { return norm >= 1e-145 && norm < 1e154; }

constexpr int kTarget = 200;

void forward_f64(const double* x, double* y, double* norms, double eps, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        norms[r] = norm_of(x, width, 0);
        if (is_plain(norms[r])) {
            for (int64_t i = 0; i < width; ++i) y[i] = x[i] / std::max(norms[r], eps);
            continue;
        }
        const int e = balance(x, width, kTarget);
        const double norm = norm_of(x, width, e);
        norms[r] = std::ldexp(norm, -e);
        for (int64_t i = 0; i < width; ++i) y[i] = norms[r] > eps ? std::ldexp(x[i], e) / norm : x[i] / eps;
    }
}

void backward_f64(const double* x, const double* norms, double eps, const double* dy, double* dx,
                  int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
        const bool free = norms[r] > eps;
        const double d = free ? norms[r] : eps;
        double dot = 0;
        for (int64_t i = 0; free && i < width; ++i) dot += x[i] * dy[i];
        bool good = !free || is_plain(d);
        for (int64_t i = 0; i < width; ++i) {
            dx[i] = (dy[i] - x[i] * (dot / (d * d))) / d;
            good = good && std::isfinite(dx[i]);
        }
        if (good || !free) continue;
        const int e = balance(x, width, kTarget), h = balance(dy, width, kTarget);
        const double norm = norm_of(x, width, e);
        dot = 0;
        for (int64_t i = 0; i < width; ++i) dot += std::ldexp(x[i], e) / norm * std::ldexp(dy[i], h);
        for (int64_t i = 0; i < width; ++i)
            dx[i] = std::ldexp((std::ldexp(dy[i], h) - std::ldexp(x[i], e) / norm * dot) / norm, e - h);
    }
}

void forward(const Tensor& x, double eps, Tensor& y, Tensor& norms) {
    const int64_t width = x.shape().back();
    const RowPointer in(x, width);
    const MutableRowPointer out(y, width), norm(norms, 1);
    parallel_rows(x.numel() / width, width, [&](int64_t r, int64_t count) {
        if (x.dtype() == DType::f64)
            return forward_f64(in.at<double>(r), out.at<double>(r), norm.at<double>(r), eps, count, width);
        l2_normalize_isa().forward[isa_index(x.dtype(), "l2_normalize")](
            in[r], out[r], norm.at<float>(r), static_cast<float>(eps), count, width);
    });
}

void backward(const Tensor& x, const Tensor& norms, double eps, const Tensor& dy, Tensor& dx) {
    const int64_t width = x.shape().back();
    const RowPointer in(x, width), grad(dy, width), norm(norms, 1);
    const MutableRowPointer out(dx, width);
    parallel_rows(x.numel() / width, width, [&](int64_t r, int64_t count) {
        if (x.dtype() == DType::f64)
            return backward_f64(in.at<double>(r), norm.at<double>(r), eps, grad.at<double>(r),
                                out.at<double>(r), count, width);
        l2_normalize_isa().backward[isa_index(x.dtype(), "l2_normalize")](
            in[r], norm.at<float>(r), static_cast<float>(eps), grad[r], out[r], count, width);
    });
}

}  // namespace

const L2NormalizeKernels l2_normalize_cpu{.forward = forward, .backward = backward};

}  // namespace demi
