#pragma once
// Internal, for .cu files: a warp's sixteen rows on their way out (attention_store_cuda.h), where the tensor
// cores' f32 left its range: see attention_exact_cuda.h.
#include "ops/memory_efficient_attention/cuda/attention_exact_cuda.h"
#include "ops/memory_efficient_attention/cuda/attention_mma_cuda.h"

namespace demi::gpu_kernels {

// Whether a warp's sums, times a factor for each of a lane's rows, hold a number that is not finite.
template <int kCount>
DEMI_DEVICE bool any_not_finite(const float (&acc)[kCount][4], float factor, float other_factor) {
    float sum = 0;  // 0 * x is NaN for every x that is not finite
    DEMI_UNROLL
    for (int n = 0; n < kCount; ++n) {
        DEMI_UNROLL
        for (int e = 0; e < 4; ++e) sum = gpu::fma(acc[n][e] * (e < 2 ? factor : other_factor), 0.f, sum);
    }
    return gpu::ballot(sum != 0) != 0;
}

// `rows` rows of a block's place from row `row` on; `stage` has them, `stride` floats apart.
struct StagedRows {
    TilePlace at;
    int row, rows, stride;
    float* stage;  // null: not wanted

    DEMI_DEVICE Row place(int64_t begin, int r) const {  // of a segment that begins there
        return {at.batch, at.head, begin + at.first + row + r};
    }
};
// One of them: see mend_result.
struct StagedRow {
    float* stage;
    int64_t size;

    DEMI_DEVICE StagedRow(const StagedRows& s, int r, int64_t size_)
        : stage(s.stage != nullptr ? s.stage + r * s.stride : nullptr), size(size_) {}
    DEMI_DEVICE bool is_finite() const {
        bool bad = false;
        for (int64_t c = gpu::lane(); c < size; c += 32) bad |= !gpu::is_finite(stage[c]);
        return gpu::ballot(bad) == 0;
    }
    template <class F, class Set> DEMI_DEVICE void put(const F& fn, const Set& set) const {
        DEMI_ROLLED
        for (int64_t first = 0; first < size; first += 32 * kColumns) {
            const int64_t column = first + gpu::lane();
            double sums[kColumns] = {};
            fn(column, sums);
            for (int i = 0; i < kColumns; ++i)
                if (column + 32 * i < size) set(stage[column + 32 * i], sums[i]);
        }
        gpu::sync_warp();
    }
};

// Results. Bits 4 g of rows g, and of rows g + 8: those without a sum of weights.
DEMI_CALLED void exact_results(const AttentionForward& call, const StagedRows& s, uint32_t without,
                               uint32_t other_without) {
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        const bool weighed = ((r < 8 ? without >> 4 * r : other_without >> 4 * (r - 8)) & 1u) == 0;
        const ExactQuery<float, AttentionForward> query(call, s.place(s.at.segment->q_begin, r));
        StagedRow to(s, r, call.value_size);
        mend_result(query, weighed, to);
    }
}

// Gradients of queries: what is not finite, and of those whose exact sums take the place of others, which
// they leave, all of it.
DEMI_CALLED void exact_grad_queries(const MmaBackward& m, const StagedRows& s) {
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        const ExactQuery<float, AttentionBackward> query(m.call, s.place(s.at.segment->q_begin, r));
        StagedRow to(s, r, m.call.head_size);
        if (query.saw_nothing() || (!is_odd_lse(query.lse()) && gpu::is_finite(m.sums.dot[query.index]) &&
                                    (s.stage == nullptr || to.is_finite())))
            continue;
        bool whole = false;
        const ExactSums sums = leave_sums(query, m.sums, whole);
        if (s.stage != nullptr) mend_grad_query(query, sums, whole, to);
    }
}

// Gradients of keys, or of values.
DEMI_CALLED void exact_grad_keys(const MmaBackward& m, const StagedRows& s, bool values, bool left_out) {
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        StagedRow to(s, r, values ? m.call.value_size : m.call.head_size);
        mend_grad_key(m.call, m.sums, s.place(s.at.segment->k_begin, r), values, left_out, to);
    }
}

}  // namespace demi::gpu_kernels
