#pragma once
// Internal: from Tensors to what the attention kernels of any device are given.
#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

namespace demi {

// f64 never crosses the boundary: its dtype here means nothing.
AttentionOperand attention_operand(const Tensor& x, const Cast& cast = {});
AttentionResult attention_result(Tensor x, const Cast& cast);  // of an undefined tensor: nothing is wanted

// All but lse, with host pointers to the segments; dropout without `fill`.
AttentionProblem attention_problem(const AttentionArguments& args);
AttentionBackward attention_backward_of(const AttentionIncoming& in, const AttentionGradients& grads);

}  // namespace demi
