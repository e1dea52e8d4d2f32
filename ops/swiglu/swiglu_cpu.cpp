#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/silu/silu_f64.h"
#include "ops/swiglu/swiglu_isa.h"
#include "ops/swiglu/swiglu_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(SwigluIsa, swiglu_isa)

namespace {

void forward_f64(const double* x, double* y, int64_t rows, int64_t half) {
    for (int64_t r = 0; r < rows; ++r, x += 2 * half, y += half)
        for (int64_t i = 0; i < half; ++i) {
            const SiluF64 s(x[i]);
            y[i] = x[i] * s.gate * x[half + i] * s.scale;
        }
}

void backward_f64(const double* x, const double* dy, double* dx, int64_t rows, int64_t half) {
    for (int64_t r = 0; r < rows; ++r, x += 2 * half, dx += 2 * half, dy += half)
        for (int64_t i = 0; i < half; ++i) {
            const SiluF64 s(x[i]);
            const double by_b = dy[i] * x[half + i], by_a = dy[i] * x[i];
            // What leaves the range may be brought back by what follows.
            dx[i] = std::isfinite(by_b) ? by_b * s.gate * s.rest * s.scale
                                        : 0x1p-512 * dy[i] * (0x1p-512 * x[half + i]) * s.gate * s.rest *
                                              s.scale * 0x1p512 * 0x1p512;
            dx[half + i] = (std::isfinite(by_a) ? by_a * s.gate : dy[i] * (x[i] * s.gate)) * s.scale;
        }
}

void forward(const Tensor& x, Tensor& y) {
    const int64_t half = y.shape().back(), rows = y.numel() / half;
    const RowPointer in(x, 2 * half);
    const MutableRowPointer out(y, half);
    parallel_rows(rows, 2 * half, [&](int64_t begin, int64_t count) {
        if (x.dtype() == DType::f64)
            forward_f64(in.at<double>(begin), out.at<double>(begin), count, half);
        else
            swiglu_isa().forward[isa_index(x.dtype(), "swiglu")](in[begin], out[begin], count, half);
    });
}

void backward(const Tensor& x, const Tensor& dy, Tensor& dx) {
    const int64_t half = dy.shape().back(), rows = dy.numel() / half;
    const RowPointer in(x, 2 * half), grad(dy, half);
    const MutableRowPointer out(dx, 2 * half);
    parallel_rows(rows, 2 * half, [&](int64_t begin, int64_t count) {
        if (x.dtype() == DType::f64)
            backward_f64(in.at<double>(begin), grad.at<double>(begin), out.at<double>(begin), count, half);
        else
            swiglu_isa().backward[isa_index(x.dtype(), "swiglu")](in[begin], grad[begin], out[begin], count,
                                                                  half);
    });
}

}  // namespace

const SwigluKernels swiglu_cpu{.forward = forward, .backward = backward};

}  // namespace demi
