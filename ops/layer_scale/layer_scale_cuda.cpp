#include "ops/layer_scale/layer_scale_cuda.h"

#include "ops/common/column_sums_cuda.h"
#include "ops/common/gpu_tensor.h"
#include "ops/layer_scale/layer_scale_kernels.h"

namespace demi {
namespace {

void forward(const Tensor& x, const Tensor& gamma, const Tensor& residual, Tensor& y) {
    const int64_t width = x.shape().back();
    gpu_kernels::layer_scale_forward(
        x.dtype(), {x.raw(), gamma.raw(), gpu_in(residual), y.mutable_raw(), x.numel() / width, width},
        gpu_stream(x));
}

void backward(const Tensor& x, const Tensor& gamma, const Tensor& dy, Tensor& dx, Tensor& dgamma) {
    if (!dx.defined() && !dgamma.defined()) return;
    const int64_t width = x.shape().back(), rows = x.numel() / width;
    Tensor partial;
    if (dgamma.defined())
        partial = Tensor::empty({gpu_kernels::row_blocks(rows).count, width}, dgamma.dtype(), x.device());
    gpu_kernels::layer_scale_backward(
        x.dtype(),
        {x.raw(), gamma.raw(), dy.raw(), gpu_out(dx), gpu_out(dgamma), gpu_out(partial), rows, width},
        gpu_stream(x));
}

}  // namespace

const LayerScaleKernels layer_scale_cuda{.forward = forward, .backward = backward};

}  // namespace demi
