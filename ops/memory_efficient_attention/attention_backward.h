#pragma once
// Backward attention on one task; see attention_kernels.h.
#include "ops/memory_efficient_attention/attention_kernels.h"

namespace demi::DEMI_ISA_NS::attention {

void backward(const AttentionProblem& p, const AttentionBackward& b, const AttentionTask& task,
              const AttentionTask* next, bool want_q, bool want_kv, float* scratch,
              AttentionBackwardCounters* counters);
int64_t backward_scratch(const AttentionProblem& p, const AttentionTask& task, bool want_q);

void bias_backward(const AttentionProblem& p, const AttentionBackward& b, const AttentionTask& task,
                   float* scratch, AttentionBackwardCounters* counters);
int64_t bias_scratch(const AttentionProblem& p, const AttentionTask& task);

}  // namespace demi::DEMI_ISA_NS::attention
