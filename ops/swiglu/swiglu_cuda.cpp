#include "ops/swiglu/swiglu_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/swiglu/swiglu_kernels.h"

namespace demi {
namespace {

void forward(const Tensor& x, Tensor& y) {
    const int64_t half = y.shape().back();
    gpu_kernels::swiglu_forward(gpu_type(x), {x.raw(), nullptr, y.mutable_raw(), y.numel() / half, half},
                                gpu_stream(x));
}
void backward(const Tensor& x, const Tensor& dy, Tensor& dx) {
    const int64_t half = dy.shape().back();
    gpu_kernels::swiglu_backward(gpu_type(x), {x.raw(), dy.raw(), dx.mutable_raw(), dy.numel() / half, half},
                                 gpu_stream(x));
}

}  // namespace

const SwigluKernels swiglu_cuda{.forward = forward, .backward = backward};

}  // namespace demi
