#pragma once
// Attention in double, one row of scores at a time: for gradient checks and as a reference, not for speed.
#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

namespace demi {

void attention_forward_f64(const AttentionArguments& args, Tensor out, Tensor lse);
void attention_backward_f64(const AttentionArguments& args, const AttentionIncoming& in,
                            const AttentionGradients& grads);

}  // namespace demi
