#include "ops/common/gpu_tensor.h"
#include "ops/log_softmax/log_softmax_kernels.h"
#include "ops/softmax/softmax_cuda.h"

namespace demi {
namespace {

void forward(const Tensor& x, Tensor& y) {
    const int64_t width = x.shape().back();
    gpu_kernels::log_softmax_forward(x.dtype(), {x.raw(), nullptr, y.mutable_raw(), x.numel() / width, width},
                                     gpu_stream(x));
}
void backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
    const int64_t width = y.shape().back();
    gpu_kernels::log_softmax_backward(
        y.dtype(), {y.raw(), dy.raw(), dx.mutable_raw(), y.numel() / width, width}, gpu_stream(y));
}

}  // namespace

const SoftmaxKernels log_softmax_cuda{.forward = forward, .backward = backward};

}  // namespace demi
