#include "runtime/copy_cuda.h"

#include "runtime/copy_kernels.h"
#include "runtime/cuda/operands.h"
#include "runtime/cuda/pinned.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

void copy_forward(Tensor& dst, const Tensor& src) {
    gpu_kernels::copy(dst.dtype(), dst.mutable_raw(), src.dtype(), src.raw(),
                      gpu::strided<2>(dst.shape(), {&dst.strides(), &src.strides()}),
                      gpu::current_stream(dst.device()));
}

void fill_forward(Tensor& dst, double value) {
    gpu_kernels::fill(dst.dtype(), dst.mutable_raw(), value, gpu::strided<1>(dst.shape(), {&dst.strides()}),
                      gpu::current_stream(dst.device()));
}

void accumulate_forward(Tensor& dst, const Tensor& src) {
    gpu_kernels::accumulate(dst.dtype(), dst.mutable_raw(), src.dtype(), src.raw(),
                            gpu::strided<2>(dst.shape(), {&dst.strides(), &src.strides()}),
                            gpu::current_stream(dst.device()));
}

bool finite_forward(const Tensor& tensor) {
    Tensor flag = Tensor::zeros({1}, DType::i32, tensor.device());
    gpu_kernels::find_not_finite(
        tensor.dtype(), tensor.raw(), gpu::strided<1>(tensor.shape(), {&tensor.strides()}),
        static_cast<uint32_t*>(flag.mutable_raw()), gpu::current_stream(tensor.device()));
    uint32_t found = 0;
    gpu::read_back(&found, flag.raw(), sizeof found, tensor.device());
    return found == 0;
}

}  // namespace

const CopyKernels copy_cuda{copy_forward, fill_forward, accumulate_forward, finite_forward};

}  // namespace demi
