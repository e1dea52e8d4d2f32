#pragma once
// Forward attention on one task; see attention_kernels.h.
#include "ops/memory_efficient_attention/attention_kernels.h"

namespace demi::DEMI_ISA_NS::attention {

void forward(const AttentionProblem& p, const AttentionForward& f, const AttentionTask& task,
             const AttentionTask* next, float* scratch, AttentionForwardCounters* counters);
int64_t forward_scratch(const AttentionProblem& p, const AttentionTask& task);

}  // namespace demi::DEMI_ISA_NS::attention
