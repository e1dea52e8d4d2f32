#pragma once
// Attention on the CPU: cuts a problem into tasks and runs them on all threads. f32, f16 and bf16.
#include "ops/memory_efficient_attention/attention_kernels.h"

namespace demi {

// Counters may be null; they hold what the operands' and results' casts lost, where those count.
void attention_forward_cpu(const AttentionProblem& p, const AttentionForward& f,
                           AttentionForwardCounters* counters);
void attention_backward_cpu(const AttentionProblem& p, const AttentionBackward& b,
                            AttentionBackwardCounters* counters);

// Fills AttentionDropout::fill's factors from Philox; the same stream on every device.
void attention_dropout_fill(const AttentionDropout& self, int64_t batch, int64_t head, int64_t query,
                            int64_t key, int64_t n, float* factor);

}  // namespace demi
