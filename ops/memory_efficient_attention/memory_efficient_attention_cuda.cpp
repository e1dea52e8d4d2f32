#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

#include <algorithm>

#include "ops/boundary/cast_sums.h"
#include "ops/memory_efficient_attention/attention_call_cuda.h"

namespace demi {
namespace {

using gpu_kernels::AttentionJob;
using gpu_kernels::AttentionMatrixJob;

void count_operand(const AttentionCall& call, const AttentionOperand& x, int64_t tokens, int64_t size,
                   CastCounters* sums) {
    const AttentionProblem& p = call.job.p;
    if (counts(x.cast))
        gpu_kernels::launch_count_operand(x, p.batch, tokens, p.heads, size, sums, call.stream());
}

void count_bias(const AttentionCall& call, CastCounters* sums) {
    const AttentionProblem& p = call.job.p;
    if (p.bias.data == nullptr || !counts(p.bias.cast)) return;
    const AttentionOperand x{p.bias.data, p.bias.batch, p.bias.query, p.bias.head, p.bias.dtype, p.bias.cast};
    gpu_kernels::launch_count_operand(x, p.bias.sum_batch ? 1 : p.batch, p.bias.sum_query ? 1 : p.queries,
                                      p.bias.sum_head ? 1 : p.heads, p.bias.sum_key ? 1 : p.keys, sums,
                                      call.stream());
}

void forward(const AttentionArguments& args, Tensor out, Tensor lse, AttentionForwardCounters* counters) {
    AttentionCall call(args);
    if (call.is_empty()) return;
    AttentionJob& job = call.job;
    job.p.lse = static_cast<float*>(lse.mutable_raw());
    job.f.out = attention_result(out, args.cast_out);
    const bool counting = counters != nullptr && !job.f64 &&
                          (counts(args.cast_q) || counts(args.cast_k) || counts(args.cast_v) ||
                           counts(args.cast_bias) || counts(args.cast_out));
    DeviceCounters sums(5, counting, out.device());
    if (counting) {
        job.sums.q = sums[0];
        job.sums.k = sums[1];
        job.sums.v = sums[2];
        job.sums.out = counts(args.cast_out) ? sums[4] : nullptr;
        count_bias(call, sums[3]);
    }
    if (call.fits_matrix()) {
        const bool full = call.is_full();
        const auto shared = full ? gpu_kernels::full_forward_shared : gpu_kernels::matrix_forward_shared;
        AttentionMatrixJob m = call.matrix(shared, shared);
        m.wide_out = is_wide(out);
        (full ? gpu_kernels::launch_full_forward : gpu_kernels::launch_matrix_forward)(m, call.stream());
    } else {
        call.upload_segments();
        if (counting) {
            count_operand(call, job.p.q, job.p.queries, job.p.head_size, sums[0]);
            count_operand(call, job.p.k, job.p.keys, job.p.head_size, sums[1]);
            count_operand(call, job.p.v, job.p.keys, job.p.value_size, sums[2]);
        }
        gpu_kernels::launch_plain_forward(job, call.stream());
    }
    if (!counting) return;
    sums.add_to(0, counters->q);
    sums.add_to(1, counters->k);
    sums.add_to(2, counters->v);
    sums.add_to(3, counters->bias);
    sums.add_to(4, counters->out);
}

void backward(const AttentionArguments& args, const AttentionIncoming& in, const AttentionGradients& grads,
              AttentionBackwardCounters* counters) {
    AttentionCall call(args);
    if (call.is_empty()) return;
    AttentionJob& job = call.job;
    job.p.lse = static_cast<float*>(const_cast<void*>(in.lse.raw()));
    AttentionBackward& b = job.b = attention_backward_of(in, grads);
    const bool rows = grads.q.defined() || grads.k.defined() || grads.v.defined();
    const Cast* casts[] = {&in.cast_grad_out, &grads.cast_q, &grads.cast_k, &grads.cast_v, &grads.cast_bias};
    const bool counting =
        counters != nullptr && !job.f64 &&
        std::any_of(std::begin(casts), std::end(casts), [](const Cast* c) { return counts(*c); });
    DeviceCounters sums(5, counting, args.q.device());
    const auto sums_of = [&](int i, const Cast& cast) { return counts(cast) ? sums[i] : nullptr; };
    if (counting) {
        job.sums.grad_out = rows ? sums_of(0, in.cast_grad_out) : nullptr;
        job.sums.grad_q = sums_of(1, grads.cast_q);
        job.sums.grad_k = sums_of(2, grads.cast_k);
        job.sums.grad_v = sums_of(3, grads.cast_v);
        job.sums.grad_bias = sums_of(4, grads.cast_bias);
    }
    Tensor dot = Tensor::empty({job.p.batch, job.p.heads, job.p.queries}, job.f64 ? DType::f64 : DType::f32,
                               args.q.device());
    job.dot = static_cast<float*>(dot.mutable_raw());
    const gpu::Stream stream = call.stream();
    if (rows && call.fits_matrix(&b.grad_out)) {
        const bool full = call.is_full() && is_wide(in.grad_out) && is_wide(in.out);
        AttentionMatrixJob m =
            full ? call.matrix(gpu_kernels::full_backward_q_shared, gpu_kernels::full_backward_kv_shared)
                 : call.matrix(gpu_kernels::matrix_backward_q_shared, gpu_kernels::matrix_backward_kv_shared);
        m.wide_grad_out = is_wide(in.grad_out);
        m.wide_grad_q = grads.q.defined() && is_wide(grads.q);
        m.wide_grad_k = grads.k.defined() && is_wide(grads.k);
        m.wide_grad_v = grads.v.defined() && is_wide(grads.v);
        (full ? gpu_kernels::launch_full_backward_q : gpu_kernels::launch_matrix_backward_q)(m, stream);
        if (b.grad_k.data != nullptr || b.grad_v.data != nullptr)
            (full ? gpu_kernels::launch_full_backward_kv : gpu_kernels::launch_matrix_backward_kv)(m, stream);
    } else {
        call.upload_segments();
        if (job.sums.grad_out != nullptr)
            count_operand(call, b.grad_out, job.p.queries, job.p.value_size, job.sums.grad_out);
        gpu_kernels::launch_plain_dot(job, stream);
        gpu_kernels::launch_plain_backward(job, stream);
    }
    if (b.grad_bias.data != nullptr) gpu_kernels::launch_plain_bias(job, stream);
    if (!counting) return;
    sums.add_to(0, counters->grad_out);
    sums.add_to(1, counters->grad_q);
    sums.add_to(2, counters->grad_k);
    sums.add_to(3, counters->grad_v);
    sums.add_to(4, counters->grad_bias);
}

}  // namespace

const MemoryEfficientAttentionKernels memory_efficient_attention_cuda = {forward, backward};

}  // namespace demi
