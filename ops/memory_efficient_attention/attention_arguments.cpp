#include "ops/memory_efficient_attention/attention_arguments.h"

#include "ops/boundary/crossing.h"

namespace demi {

namespace {

DType element_type(const Tensor& x) { return x.dtype() == DType::f64 ? DType::f32 : x.dtype(); }

}  // namespace

AttentionOperand attention_operand(const Tensor& x, const Cast& cast) {
    return {x.raw(), x.strides()[0], x.strides()[1], x.strides()[2], element_type(x), cast};
}
AttentionResult attention_result(Tensor x, const Cast& cast) {
    if (!x.defined()) return {};
    return {x.mutable_raw(), x.strides()[0], x.strides()[1], x.strides()[2], element_type(x), cast};
}

AttentionProblem attention_problem(const AttentionArguments& a) {
    AttentionProblem p;
    p.batch = a.q.size(0);
    p.queries = a.q.size(1);
    p.heads = a.q.size(2);
    p.head_size = a.q.size(3);
    p.keys = a.k.size(1);
    p.value_size = a.v.size(3);
    p.segments = a.segments.data();
    p.segment_count = static_cast<int64_t>(a.segments.size());
    p.q = attention_operand(a.q, a.cast_q);
    p.k = attention_operand(a.k, a.cast_k);
    p.v = attention_operand(a.v, a.cast_v);
    if (a.bias.defined()) {
        const Shape& s = a.bias.strides();
        AttentionBiasOperand& bias = p.bias;
        bias = {a.bias.raw(), s[0], s[1], s[2], 1, element_type(a.bias), a.cast_bias};
        bias.sum_batch = a.bias.size(0) == 1;
        bias.sum_head = a.bias.size(1) == 1;
        bias.sum_query = a.bias.size(2) != p.queries;
        bias.sum_key = a.bias.size(3) != p.keys;
        if (bias.sum_batch) bias.batch = 0;
        if (bias.sum_head) bias.head = 0;
        if (bias.sum_query) bias.query = 0;
        if (bias.sum_key) bias.key = 0;
    }
    if (a.dropout > 0)
        p.dropout = {nullptr, a.draw.seed, a.draw.offset, a.dropout, p.heads, p.queries, p.keys, a.draw.live};
    p.scale = static_cast<float>(a.scale);
    return p;
}

AttentionBackward attention_backward_of(const AttentionIncoming& in, const AttentionGradients& grads) {
    AttentionBackward b;
    b.out = attention_operand(in.out);
    b.grad_out = attention_operand(in.grad_out, in.cast_grad_out);
    b.grad_lse = in.grad_lse.defined() ? static_cast<const float*>(in.grad_lse.raw()) : nullptr;
    b.grad_lse_scale = in.grad_lse_scale;
    b.grad_q = attention_result(grads.q, grads.cast_q);
    b.grad_k = attention_result(grads.k, grads.cast_k);
    b.grad_v = attention_result(grads.v, grads.cast_v);
    b.grad_bias = attention_result(grads.bias, grads.cast_bias);
    return b;
}

}  // namespace demi
