#pragma once
// memory_efficient_attention(q, k, v, bias, options) -> [B, Mq, H, Kv], in q's dtype
//
//   out = softmax(scale * q k^T + bias) v,   for each batch and head
//   backward, with P the softmax, g the gradient of out, D = sum(g * out):
//     dv = P^T g     dS = P * (g v^T - D)     dq = scale * dS k     dk = scale * dS^T q     dbias = dS
//
// q [B, Mq, H, K], k [B, Mk, H, K], v [B, Mk, H, Kv], or rank 3 without H. K, Kv >= 1; lengths may be 0 and
// differ. Any strides; a last stride other than 1 is copied. Memory grows with Mq + Mk, never with Mq * Mk. A
// query that sees no key, or only scores of -infinity, gives 0, log-sum-exp -infinity and no gradients.
// Values that are not finite reach only what sees them. f32 arithmetic (f64 in f64); every result is the same
// for any number of threads. Operands may have different dtypes: each is read in its own, the result has q's;
// where q is f64 everything is computed in f64. Accuracy against float64 on normal inputs, relative L2: f32
// 2e-6, f16 4e-4 forward and 5e-4 backward, bf16 4e-3. Throws Error on ranks, shapes, dtypes and devices that
// do not fit, and on masks of another length than q and k.
#include <optional>

#include "ops/boundary/boundary.h"
#include "ops/memory_efficient_attention/attention_mask.h"
#include "runtime/random.h"

namespace demi {

struct AttentionOptions {
    std::optional<double> scale;  // default K^-1/2
    double dropout = 0;  // probability that a weight is dropped; the others are divided by 1 - dropout
    Generator* generator = nullptr;  // needed for dropout; moves on by B * H * Mq * Mk words
    Boundary boundary = {};
};

Variable memory_efficient_attention(const Variable& q, const Variable& k, const Variable& v,
                                    const AttentionBias& bias = {}, const AttentionOptions& options = {});

// Also the log-sum-exp of the scores, natural logarithm, [B, H, Mq], f32 (f64 where q is f64);
// gradients flow through both.
struct AttentionWithLse {
    Variable out, lse;
};
AttentionWithLse attention_with_lse(const Variable& q, const Variable& k, const Variable& v,
                                    const AttentionBias& bias = {}, const AttentionOptions& options = {});

}  // namespace demi
