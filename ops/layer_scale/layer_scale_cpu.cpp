#include <array>

#include "ops/common/isa_index.h"
#include "ops/common/row_sums.h"
#include "ops/layer_scale/layer_scale_isa.h"
#include "ops/layer_scale/layer_scale_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(LayerScaleIsa, layer_scale_isa)

namespace {

void forward_f64(const double* x, const double* gamma, const double* residual, double* y, int64_t rows,
                 int64_t width) {
    for (int64_t i = 0; i < rows * width; ++i)
        y[i] = x[i] * gamma[i % width] + (residual != nullptr ? residual[i] : 0.0);
}

void backward_f64(const double* x, const double* gamma, const double* dy, double* dx, double* dgamma,
                  int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows * width; ++i) {
        if (dx != nullptr) dx[i] = dy[i] * gamma[i % width];
        if (dgamma != nullptr) dgamma[i % width] += dy[i] * x[i];
    }
}

void forward(const Tensor& x, const Tensor& gamma, const Tensor& residual, Tensor& y) {
    const int64_t width = x.shape().back();
    const RowPointer in(x, width), add(residual, width), factor(gamma, 0);
    const MutableRowPointer out(y, width);
    parallel_rows(x.numel() / width, width, [&](int64_t r, int64_t count) {
        if (x.dtype() == DType::f64)
            return forward_f64(in.at<double>(r), factor.at<double>(0), add.at<double>(r), out.at<double>(r),
                               count, width);
        layer_scale_isa().forward[isa_index(x.dtype(), "layer_scale")](in[r], factor.at<float>(0), add[r],
                                                                       out[r], count, width);
    });
}

template <class T>
void backward_as(const Tensor& x, const Tensor& gamma, const Tensor& dy, Tensor& dx, Tensor& dgamma) {
    const int64_t width = x.shape().back(), rows = x.numel() / width;
    const RowPointer in(x, width), grad(dy, width);
    const MutableRowPointer out(dx, width);
    const T* factor = gamma.data<T>();
    const auto run = [&](int64_t r, int64_t count, T* sums) {
        if constexpr (std::is_same_v<T, double>)
            backward_f64(in.at<double>(r), factor, grad.at<double>(r), out.at<double>(r), sums, count, width);
        else
            layer_scale_isa().backward[isa_index(x.dtype(), "layer_scale")](in[r], factor, grad[r], out[r],
                                                                            sums, count, width);
    };
    if (!dgamma.defined())
        return parallel_rows(rows, width, [&](int64_t r, int64_t count) { run(r, count, nullptr); });
    sum_rows(RowBlocks{rows, width}, std::array<T*, 1>{dgamma.mutable_data<T>()},
             [&](int64_t r, int64_t count, const std::array<T*, 1>& sums) { run(r, count, sums[0]); });
}

void backward(const Tensor& x, const Tensor& gamma, const Tensor& dy, Tensor& dx, Tensor& dgamma) {
    x.dtype() == DType::f64 ? backward_as<double>(x, gamma, dy, dx, dgamma)
                            : backward_as<float>(x, gamma, dy, dx, dgamma);
}

}  // namespace

const LayerScaleKernels layer_scale_cpu{.forward = forward, .backward = backward};

}  // namespace demi
