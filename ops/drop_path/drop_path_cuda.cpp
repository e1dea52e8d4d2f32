#include "ops/common/gpu_tensor.h"
#include "ops/drop_path/drop_path_kernels.h"
#include "ops/dropout/dropout_cuda.h"

namespace demi {
namespace {

void apply(const Tensor& x, DropoutDraw draw, Tensor& y) {
    gpu_kernels::drop(x.dtype(),
                      {x.raw(), y.mutable_raw(), x.numel(), x.numel() / x.size(0), draw.at.seed,
                       draw.at.offset, draw.threshold, draw.scale, draw.at.live},
                      gpu_stream(x));
}

}  // namespace

const DropPathKernels drop_path_cuda{.apply = apply};

}  // namespace demi
