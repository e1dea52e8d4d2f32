#include "ops/common/gpu_tensor.h"
#include "ops/index/index_select_kernels.h"
#include "ops/index/positions.h"
#include "ops/index/take_rows_cuda.h"

namespace demi {
namespace {

void forward(Tensor& y, const Tensor& x, const Tensor& index) {
    if (y.numel() == 0) return;
    gpu_kernels::take_rows({x.raw(), y.mutable_raw(), index.data<int64_t>(), y.size(0), x.size(1), y.size(1),
                            0, y.size(2) * static_cast<int64_t>(size_of(x.dtype()))},
                           gpu_stream(x));
}

void backward(Tensor& dx, const Tensor& dy, const Tensor& index) {
    add_rows_cuda(dx, dy, index, {dx.size(0), dx.size(1), dy.size(1), dx.size(2)});
}

}  // namespace

const IndexSelectKernels index_select_cuda{forward, backward};

}  // namespace demi
