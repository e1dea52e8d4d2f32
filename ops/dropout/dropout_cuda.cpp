#include "ops/dropout/dropout_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/dropout/dropout_kernels.h"

namespace demi {
namespace {

void apply(const Tensor& x, DropoutDraw draw, Tensor& y) {
    gpu_kernels::drop(x.dtype(),
                      {x.raw(), y.mutable_raw(), x.numel(), 1, draw.at.seed, draw.at.offset, draw.threshold,
                       draw.scale, draw.at.live},
                      gpu_stream(x));
}

}  // namespace

const DropoutKernels dropout_cuda{.apply = apply};

}  // namespace demi
