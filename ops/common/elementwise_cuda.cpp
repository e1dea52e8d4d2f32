#include "ops/common/elementwise_cuda.h"

#include "ops/common/elementwise_kernels.h"
#include "runtime/cuda/operands.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

void apply(ElementFn fn, Tensor& out, std::span<const Tensor> in, double p, double q) {
    gpu_kernels::ElementwiseCall call{};
    call.fn = fn;
    call.compute = compute_type(fn, out, in);
    call.operands = static_cast<int>(in.size());
    std::array<const Shape*, 4> strides;
    strides.fill(&out.strides());
    call.types[0] = out.dtype();
    for (size_t k = 0; k < in.size(); ++k) {
        strides[k + 1] = &in[k].strides();
        call.types[k + 1] = in[k].dtype();
        call.in[k] = in[k].raw();
    }
    call.out = out.mutable_raw();
    call.p = p;
    call.q = q;
    call.walk = gpu::strided<4>(out.shape(), strides);
    gpu_kernels::elementwise(call, gpu::current_stream(out.device()));
}

}  // namespace

const ElementwiseKernels elementwise_cuda{apply};

}  // namespace demi
