#pragma once
// merge_attentions(parts) -> attention over all keys, from attention over parts of them
//
//   lse = log sum_i exp(lse_i)      out = sum_i exp(lse_i - lse) out_i
//   backward, with w_i = exp(lse_i - lse), g and h the gradients of out and lse:
//     d out_i = w_i g               d lse_i = w_i (sum(g * (out_i - out)) + h)
//
// out_i [B, M, H, K] (or [B, M, K], one head) and lse_i [B, H, M] as attention_with_lse gives them, of one
// shape and dtype. Parts that saw nothing (log-sum-exp -infinity) do not count; where none saw anything the
// result is 0 and -infinity. f32 arithmetic.
#include "ops/memory_efficient_attention/memory_efficient_attention.h"

namespace demi {

AttentionWithLse merge_attentions(const std::vector<AttentionWithLse>& parts);

}  // namespace demi
