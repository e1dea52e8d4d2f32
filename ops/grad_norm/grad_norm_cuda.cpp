#include "ops/grad_norm/grad_norm_cuda.h"

#include "ops/common/tensor_list.h"
#include "ops/grad_norm/grad_norm_kernels.h"

namespace demi {
namespace {

TensorListBuilder list_of(std::span<const Tensor> tensors) {
    TensorListBuilder list;
    for (const Tensor& t : tensors) list.add({t.raw()}, t, Tensor());
    return list;
}

double norm(std::span<const Tensor> tensors) {
    const Device device = tensors[0].device();
    const TensorListBuilder builder = list_of(tensors);
    const auto sent = builder.send(device);
    Tensor partial = Tensor::empty({builder.chunks()}, DType::f64, device);
    Tensor result = Tensor::empty({1}, DType::f64, device);
    gpu_kernels::norm(sent.list, partial.mutable_data<double>(), result.mutable_data<double>(),
                      gpu::current_stream(device));
    return result.item();
}

void factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier, double max_norm,
             Tensor& result) {
    const Device device = result.device();
    gpu_kernels::NormGroups shape{};
    shape.multiplier = multiplier.value;
    shape.live_multiplier = live_number(multiplier, device);
    shape.limit = max_norm;
    shape.groups = static_cast<int64_t>(groups.size());
    TensorListBuilder builder;
    for (size_t g = 0; g < groups.size(); ++g) {
        for (const Tensor& t : groups[g]) builder.add({t.raw()}, t, Tensor());
        shape.ends[g] = builder.chunks();
    }
    const auto sent = builder.send(device);
    Tensor partial = Tensor::empty({builder.chunks()}, DType::f64, device);
    gpu_kernels::norms_and_factors(sent.list, static_cast<double*>(gpu_out(partial)), shape,
                                   result.mutable_data<double>(), gpu::current_stream(device));
}

void scale(std::span<Tensor> tensors, double factor) {
    const Device device = tensors[0].device();
    TensorListBuilder builder;
    for (Tensor& t : tensors) builder.add({t.mutable_raw()}, t, Tensor());
    const auto sent = builder.send(device);
    gpu_kernels::scale_tensors(sent.list, factor, gpu::current_stream(device));
}

bool finite(std::span<const Tensor> tensors) {
    const Device device = tensors[0].device();
    const auto sent = list_of(tensors).send(device);
    Tensor bad = Tensor::zeros({1}, DType::i32, device);
    gpu_kernels::find_not_finite(sent.list, static_cast<uint32_t*>(bad.mutable_raw()),
                                 gpu::current_stream(device));
    return bad.item() == 0;
}

}  // namespace

const GradNormKernels grad_norm_cuda{.norm = norm, .scale = scale, .factors = factors, .finite = finite};

}  // namespace demi
