#include "ops/memory_efficient_attention/attention_arguments.h"
#include "ops/memory_efficient_attention/attention_cpu.h"
#include "ops/memory_efficient_attention/attention_exact.h"
#include "ops/memory_efficient_attention/attention_f64.h"

namespace demi {
namespace {

AttentionProblem problem_of(const AttentionArguments& args) {
    AttentionProblem p = attention_problem(args);
    p.dropout.fill = args.dropout > 0 ? attention_dropout_fill : nullptr;
    return p;
}

void forward(const AttentionArguments& args, Tensor out, Tensor lse, AttentionForwardCounters* counters) {
    if (args.q.dtype() == DType::f64) return attention_forward_f64(args, out, lse);
    AttentionProblem p = problem_of(args);
    p.lse = lse.mutable_data<float>();
    const AttentionExactRows exact(args);
    attention_forward_cpu(p, {attention_result(out, args.cast_out), &exact}, counters);
}

void backward(const AttentionArguments& args, const AttentionIncoming& in, const AttentionGradients& grads,
              AttentionBackwardCounters* counters) {
    if (args.q.dtype() == DType::f64) return attention_backward_f64(args, in, grads);
    AttentionProblem p = problem_of(args);
    p.lse = const_cast<float*>(in.lse.data<float>());
    const AttentionExactRows exact(args, &in);
    AttentionBackward b = attention_backward_of(in, grads);
    b.exact = &exact;
    attention_backward_cpu(p, b, counters);
}

}  // namespace

const MemoryEfficientAttentionKernels memory_efficient_attention_cpu = {forward, backward};

}  // namespace demi
