#pragma once
// The attention kernels of one instruction set. A task works alone, from memory of its own: tasks may run in
// any order and on any thread without changing a bit.
#include "ops/memory_efficient_attention/attention_problem.h"

namespace demi {

// One task: queries [q_begin, q_end) against keys [k_begin, k_end) of one segment (segment coordinates),
// batch and head.
struct AttentionTask {
    int64_t segment = 0, batch = 0, head = 0;
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
};

struct AttentionForwardCounters {
    CastCounters q, k, v, bias, out;
};
struct AttentionBackwardCounters {
    bool count_grad_out = false;  // this task counts the rows of grad_out that it covers
    CastCounters grad_out, grad_q, grad_k, grad_v, grad_bias;
};

struct AttentionIsa {
    // `next` is the task that this thread runs afterwards, or null; its data is fetched in advance.
    // Queries of the task against all keys of the segment. [k_begin, k_end) only says which keys and values
    // this task counts.
    void (*forward)(const AttentionProblem&, const AttentionForward&, const AttentionTask&,
                    const AttentionTask* next, float* scratch, AttentionForwardCounters* counters);
    int64_t (*forward_scratch)(const AttentionProblem&, const AttentionTask&);  // floats

    // grad_q of the task's queries where wanted, grad_k and grad_v of its keys where wanted; a gradient that
    // is wanted must be complete after the task: all keys for grad_q, all queries for the others.
    void (*backward)(const AttentionProblem&, const AttentionBackward&, const AttentionTask&,
                     const AttentionTask* next, bool want_q, bool want_kv, float* scratch,
                     AttentionBackwardCounters* counters);
    int64_t (*backward_scratch)(const AttentionProblem&, const AttentionTask&, bool want_q);

    // grad_bias of the task's queries and keys; sums over batch or head, in order,
    // where the bias is broadcast.
    void (*bias_backward)(const AttentionProblem&, const AttentionBackward&, const AttentionTask&,
                          float* scratch, AttentionBackwardCounters* counters);
    int64_t (*bias_scratch)(const AttentionProblem&, const AttentionTask&);

    // Counts the casts of one matrix of the bias.
    void (*count_bias)(const AttentionProblem&, int64_t batch, int64_t head, CastCounters* counters);
};

const AttentionIsa& attention_isa();

}  // namespace demi
