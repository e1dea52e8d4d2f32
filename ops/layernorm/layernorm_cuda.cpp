#include "ops/layernorm/layernorm_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/layernorm/layernorm_kernels.h"
#include "ops/rows/column_sums_cuda.h"

namespace demi {
namespace {

void forward(LayernormForward& c) {
    const int64_t width = c.x.shape().back();
    gpu_kernels::layernorm_forward(c.x.dtype(), c.y.dtype(),
                                   {gpu_in(c.x), gpu_in(c.residual), gpu_in(c.weight), gpu_in(c.bias),
                                    gpu_out(c.sum), gpu_out(c.y), gpu_out(c.stats), c.x.numel() / width,
                                    width, c.eps},
                                   gpu_stream(c.x));
}

void backward(LayernormBackward& c) {
    if (!c.dx.defined() && !c.dweight.defined()) return;
    const int64_t width = c.x.shape().back(), rows = c.x.numel() / width;
    Tensor partial;
    if (c.dweight.defined())
        partial =
            Tensor::empty({gpu_kernels::row_blocks(rows).count, 2, width}, c.stats.dtype(), c.x.device());
    gpu_kernels::layernorm_backward(c.x.dtype(), c.dy.dtype(),
                                    {gpu_in(c.x), gpu_in(c.weight), gpu_in(c.stats), gpu_in(c.dy),
                                     gpu_in(c.dsum), gpu_out(c.dx), gpu_out(c.dweight), gpu_out(c.dbias),
                                     gpu_out(partial), rows, width},
                                    gpu_stream(c.x));
}

}  // namespace

const LayernormKernels layernorm_cuda{.forward = forward, .backward = backward};

}  // namespace demi
