#include "ops/ema/ema_cuda.h"

#include "ops/common/tensor_list.h"
#include "ops/ema/ema_kernels.h"

namespace demi {
namespace {

void update(std::span<Tensor> dst, std::span<const Tensor> src, double momentum) {
    TensorListBuilder tensors;
    for (size_t i = 0; i < dst.size(); ++i) tensors.add({dst[i].mutable_raw(), src[i].raw()}, dst[i], src[i]);
    const auto sent = tensors.send(dst[0].device());
    gpu_kernels::ema_update(sent.list, momentum, gpu_stream(dst[0]));
}

}  // namespace

const EmaKernels ema_cuda{.update = update};

}  // namespace demi
