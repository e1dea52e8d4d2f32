#include "ops/l2_normalize/l2_normalize_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/l2_normalize/l2_normalize_kernels.h"

namespace demi {
namespace {

void forward(const Tensor& x, double eps, Tensor& y, Tensor& norms) {
    const int64_t width = x.shape().back();
    gpu_kernels::l2_normalize_forward(
        x.dtype(), {x.raw(), y.mutable_raw(), norms.mutable_raw(), x.numel() / width, width, eps},
        gpu_stream(x));
}
void backward(const Tensor& x, const Tensor& norms, double eps, const Tensor& dy, Tensor& dx) {
    const int64_t width = x.shape().back();
    gpu_kernels::l2_normalize_backward(
        x.dtype(), {x.raw(), norms.raw(), dy.raw(), dx.mutable_raw(), x.numel() / width, width, eps},
        gpu_stream(x));
}

}  // namespace

const L2NormalizeKernels l2_normalize_cuda{.forward = forward, .backward = backward};

}  // namespace demi
