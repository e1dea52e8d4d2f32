#include "ops/memory_efficient_attention/attention_cpu.h"
#include "ops/memory_efficient_attention/attention_f64.h"
#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

namespace demi {
namespace {

Storage storage(const Tensor& x) {
    if (x.dtype() == DType::f16) return Storage::f16;
    return x.dtype() == DType::bf16 ? Storage::bf16 : Storage::f32;
}

AttentionOperand operand(const Tensor& x, const Cast& cast = {}) {
    return {x.raw(), x.strides()[0], x.strides()[1], x.strides()[2], storage(x), cast};
}
AttentionResult result(Tensor x, const Cast& cast) {
    if (!x.defined()) return {};
    return {x.mutable_raw(), x.strides()[0], x.strides()[1], x.strides()[2], storage(x), cast};
}

AttentionProblem make_problem(const AttentionArguments& a) {
    AttentionProblem p;
    p.batch = a.q.size(0);
    p.queries = a.q.size(1);
    p.heads = a.q.size(2);
    p.head_size = a.q.size(3);
    p.keys = a.k.size(1);
    p.value_size = a.v.size(3);
    p.segments = a.segments.data();
    p.segment_count = static_cast<int64_t>(a.segments.size());
    p.q = operand(a.q, a.cast_q);
    p.k = operand(a.k, a.cast_k);
    p.v = operand(a.v, a.cast_v);
    if (a.bias.defined()) {
        const Shape& s = a.bias.strides();
        const bool one_batch = a.bias.size(0) == 1, one_head = a.bias.size(1) == 1;
        p.bias = {a.bias.raw(),    one_batch ? 0 : s[0], one_head ? 0 : s[1], s[2],
                  storage(a.bias), a.cast_bias,          one_batch,           one_head};
    }
    if (a.dropout > 0)
        p.dropout = {
            attention_dropout_fill, a.draw.seed, a.draw.offset, a.dropout, p.heads, p.queries, p.keys};
    p.scale = static_cast<float>(a.scale);
    return p;
}

void forward(const AttentionArguments& args, Tensor out, Tensor lse, AttentionForwardCounters* counters) {
    if (args.q.dtype() == DType::f64) return attention_forward_f64(args, out, lse);
    AttentionProblem p = make_problem(args);
    p.lse = lse.mutable_data<float>();
    attention_forward_cpu(p, {result(out, args.cast_out)}, counters);
}

void backward(const AttentionArguments& args, const AttentionIncoming& in, const AttentionGradients& grads,
              AttentionBackwardCounters* counters) {
    if (args.q.dtype() == DType::f64) return attention_backward_f64(args, in, grads);
    AttentionProblem p = make_problem(args);
    p.lse = const_cast<float*>(in.lse.data<float>());
    AttentionBackward b;
    b.out = operand(in.out);
    b.grad_out = operand(in.grad_out, in.cast_grad_out);
    b.grad_lse = in.grad_lse.defined() ? in.grad_lse.data<float>() : nullptr;
    b.grad_lse_scale = in.grad_lse_scale;
    b.grad_q = result(grads.q, grads.cast_q);
    b.grad_k = result(grads.k, grads.cast_k);
    b.grad_v = result(grads.v, grads.cast_v);
    Tensor bias = grads.bias;
    if (bias.defined()) {
        b.grad_bias.data = bias.mutable_raw();
        b.grad_bias.storage = storage(bias);
        b.grad_bias.cast = grads.cast_bias;
    }
    attention_backward_cpu(p, b, counters);
}

}  // namespace

const MemoryEfficientAttentionKernels memory_efficient_attention_cpu = {forward, backward};

}  // namespace demi
