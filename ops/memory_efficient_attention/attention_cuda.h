#pragma once
// Internal: attention's kernels on the GPU. Two families: tensor cores, for fp16 (also what is rounded
// to it) and bf16 operands with head sizes up to 256; and plain ones, one warp for a row, which are
// right for everything else.
#include "ops/boundary/boundary_kernels.h"
#include "ops/memory_efficient_attention/attention_problem.h"

namespace demi::gpu_kernels {

// How the queries or the keys of all segments are cut: tile t of a (batch, head) belongs to the segment s
// with first_tile[s] <= t < first_tile[s + 1]. A segment without rows has one tile all the same, so that its
// other side is counted.
struct AttentionTiles {
    int64_t count = 0;                    // of one (batch, head)
    int32_t rows = 0;                     // of one tile
    const int64_t* first_tile = nullptr;  // segments + 1; null: there is one segment
};

// Counters: null where nobody counts.
struct AttentionSums {
    CastCounters *q, *k, *v, *bias, *out, *grad_out, *grad_q, *grad_k, *grad_v, *grad_bias;
};

// p.segments lies on the device; where there is one segment it is `only`. p.dropout.fill is not used: there
// is dropout where its probability is above 0.
struct AttentionJob {
    AttentionProblem p;
    AttentionSegment only;
    AttentionForward f;
    AttentionBackward b;
    AttentionSums sums;
    float* dot;  // backward: [batch, heads, queries], the sum of weights times their gradients
    double scale;
    bool f64;  // all data are double; lse, grad_lse and dot point to double
};

// ---- plain -------------------------------------------------------------------------------------------
void launch_plain_forward(const AttentionJob& job, gpu::Stream stream);
// The row sums into job.dot, and the gradients that are wanted, one launch each.
void launch_plain_dot(const AttentionJob& job, gpu::Stream stream);
void launch_plain_backward(const AttentionJob& job, gpu::Stream stream);
void launch_plain_bias(const AttentionJob& job, gpu::Stream stream);

// Counts the casts of an operand's elements [batch, tokens, heads, size]; with bias:
// [batch, heads, queries, keys].
void launch_count_operand(const AttentionOperand& x, int64_t batch, int64_t tokens, int64_t heads,
                          int64_t size, CastCounters* sums, gpu::Stream stream);

// ---- tensor cores: sizes up to 256, everything fp16-valued or everything bf16
// ---------------------------------
struct AttentionMatrixJob {
    AttentionJob job;
    AttentionTiles queries, keys;
    bool bf16;
    // Whether eight elements of an operand can be loaded at once (aligned, whole eights).
    bool wide_q, wide_k, wide_v, wide_out, wide_grad_out, wide_grad_q, wide_grad_k, wide_grad_v;
};
// Bytes of shared memory for `rows` rows in a tile.
size_t matrix_forward_shared(int64_t size, int rows);
size_t matrix_backward_q_shared(int64_t size, int rows);
size_t matrix_backward_kv_shared(int64_t size, int rows);
void launch_matrix_forward(const AttentionMatrixJob& job, gpu::Stream stream);
// Also fills job.dot, and counts grad_out.
void launch_matrix_backward_q(const AttentionMatrixJob& job, gpu::Stream stream);
void launch_matrix_backward_kv(const AttentionMatrixJob& job, gpu::Stream stream);

// The same where every query of a segment sees all its keys, without bias and dropout, for head sizes 64 and
// 128, a positive scale and operands (backward: out too) of which eight elements can be loaded at once.
size_t full_forward_shared(int64_t size, int rows);
size_t full_backward_q_shared(int64_t size, int rows);
size_t full_backward_kv_shared(int64_t size, int rows);
void launch_full_forward(const AttentionMatrixJob& job, gpu::Stream stream);
void launch_full_backward_q(const AttentionMatrixJob& job, gpu::Stream stream);
void launch_full_backward_kv(const AttentionMatrixJob& job, gpu::Stream stream);

}  // namespace demi::gpu_kernels
