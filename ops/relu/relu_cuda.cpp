#include "ops/common/activation_cuda.h"
#include "ops/common/gpu_tensor.h"
#include "ops/relu/relu_kernels.h"

namespace demi {
namespace {

constexpr auto kFn = gpu_kernels::ActivationFn::relu;

void forward(const Tensor& x, Tensor& y) {
    gpu_kernels::activation_forward(kFn, x.dtype(), {x.raw(), nullptr, y.mutable_raw(), x.numel()},
                                    gpu_stream(x));
}
void backward(const Tensor& x, const Tensor& dy, Tensor& dx) {
    gpu_kernels::activation_backward(kFn, x.dtype(), {x.raw(), dy.raw(), dx.mutable_raw(), x.numel()},
                                     gpu_stream(x));
}

}  // namespace

const ActivationKernels relu_cuda{.forward = forward, .backward = backward};

}  // namespace demi
