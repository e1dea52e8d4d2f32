#include "ops/memory_efficient_attention/merge_attentions_cuda.h"

#include "ops/memory_efficient_attention/merge_attentions_kernels.h"
#include "runtime/cuda/stream.h"
#include "runtime/device_table.h"

namespace demi {
namespace {

using gpu_kernels::MergeJob;
using gpu_kernels::MergePart;

DType type_of(DType dtype) {
    if (dtype == DType::f64) return DType::f64;
    if (dtype == DType::f32) return DType::f32;
    return dtype == DType::f16 ? DType::f16 : DType::bf16;
}

const void* raw(const Tensor& t) { return t.defined() ? t.raw() : nullptr; }
void* writable(Tensor& t) { return t.defined() ? t.mutable_raw() : nullptr; }

// `memory` holds the table of parts.
MergeJob job_of(const MergeLayout& l, DType dtype, const std::vector<MergePart>& parts, Device device,
                Tensor& memory) {
    const size_t bytes = parts.size() * sizeof(MergePart);
    memory = device_table(device, parts.data(), bytes);
    MergeJob job{};
    job.batch = l.batch;
    job.tokens = l.tokens;
    job.heads = l.heads;
    job.size = l.size;
    job.count = static_cast<int64_t>(parts.size());
    job.parts = static_cast<const MergePart*>(memory.raw());
    job.type = type_of(dtype);
    return job;
}

void forward(const MergeLayout& layout, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
             Tensor out, Tensor lse) {
    if (layout.rows() == 0) return;
    std::vector<MergePart> parts;
    for (size_t i = 0; i < outs.size(); ++i)
        parts.push_back({outs[i].raw(), lses[i].raw(), nullptr, nullptr});
    Tensor memory;
    MergeJob job = job_of(layout, out.dtype(), parts, out.device(), memory);
    job.out = out.mutable_raw();
    job.lse = lse.mutable_raw();
    gpu_kernels::launch_merge(job, gpu::current_stream(out.device()));
}

void backward(const MergeLayout& layout, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
              const Tensor& out, const Tensor& lse, const Tensor& grad, const Tensor& grad_lse,
              std::vector<Tensor>& grads) {
    if (layout.rows() == 0) return;
    std::vector<MergePart> parts;
    for (size_t i = 0; i < outs.size(); ++i)
        parts.push_back({outs[i].raw(), lses[i].raw(), writable(grads[2 * i]), writable(grads[2 * i + 1])});
    Tensor memory;
    MergeJob job = job_of(layout, out.dtype(), parts, out.device(), memory);
    job.out = const_cast<void*>(out.raw());
    job.lse = const_cast<void*>(lse.raw());
    job.grad = raw(grad);
    job.grad_lse = raw(grad_lse);
    gpu_kernels::launch_merge_backward(job, gpu::current_stream(out.device()));
}

}  // namespace

const MergeAttentionsKernels merge_attentions_cuda{forward, backward};

}  // namespace demi
