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

    DEMI_DEVICE int64_t place(int r) const { return at.first + row + r; }  // in the segment
    DEMI_DEVICE bool is_finite(int r, int64_t size) const {
        bool bad = false;
        for (int64_t c = gpu::lane(); c < size; c += 32) bad |= !gpu::is_finite(stage[r * stride + c]);
        return gpu::ballot(bad) == 0;
    }
    // fn(column, sums) adds what a lane has of row r; set(element, sum) takes it over.
    template <class F, class Set>
    DEMI_DEVICE void put(int r, int64_t size, const F& fn, const Set& set) const {
        DEMI_ROLLED
        for (int64_t first = 0; first < size; first += 32 * kColumns) {
            const int64_t column = first + gpu::lane();
            double sums[kColumns] = {};
            fn(column, sums);
            for (int i = 0; i < kColumns; ++i)
                if (column + 32 * i < size) set(stage[r * stride + column + 32 * i], sums[i]);
        }
        gpu::sync_warp();
    }
};

// Results: what is not finite, and of queries without a sum of weights (bits 4 g of rows g, and of rows
// g + 8) all of it and the log-sum-exp.
DEMI_CALLED void exact_results(const AttentionForward& call, const StagedRows& s, uint32_t without,
                               uint32_t other_without) {
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        const bool weighed = ((r < 8 ? without >> 4 * r : other_without >> 4 * (r - 8)) & 1u) == 0;
        const ExactQuery<float, AttentionForward> query(
            call, Row(s.at.batch, s.at.head, s.at.segment->q_begin + s.place(r)));
        if (weighed ? s.is_finite(r, call.value_size) : !sees_a_number(query)) continue;
        const ExactSums sums = exact_sums(query);
        if (!is_known(sums)) continue;
        s.put(
            r, call.value_size,
            [&](int64_t column, double(&acc)[kColumns]) { exact_result(query, sums, column, acc); },
            [&](float& x, double exact) { replace(x, exact, !weighed); });
        if (!weighed && gpu::lane() == 0)
            static_cast<float*>(call.lse.data)[query.index] = exact_lse<float>(sums);
    }
}

// Gradients of queries: what is not finite, and of those whose exact sums take the place of others, which
// they leave, all of it.
DEMI_CALLED void exact_grad_queries(const MmaBackward& m, const StagedRows& s) {
    const AttentionBackward& call = m.call;
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        const ExactQuery<float, AttentionBackward> query(
            call, Row(s.at.batch, s.at.head, s.at.segment->q_begin + s.place(r)));
        if (query.saw_nothing() || (!is_odd_lse(query.lse()) && gpu::is_finite(m.sums.dot[query.index]) &&
                                    (s.stage == nullptr || s.is_finite(r, call.head_size))))
            continue;
        bool whole = false;
        const ExactSums sums = leave_sums(query, m.sums, whole);
        if (s.stage == nullptr || !(whole || is_known(sums))) continue;
        s.put(
            r, call.head_size,
            [&](int64_t column, double(&acc)[kColumns]) { exact_grad_query(query, sums, column, acc); },
            [&](float& x, double exact) { replace(x, exact, whole); });
    }
}

// Gradients of keys, or of values: what queries add whose sums are exact, if any may be among those left out,
// and what is not finite then.
DEMI_CALLED void exact_grad_keys(const MmaBackward& m, const StagedRows& s, bool values, bool left_out) {
    const AttentionBackward& call = m.call;
    const int64_t size = values ? call.value_size : call.head_size;
    DEMI_ROLLED
    for (int r = 0; r < s.rows; ++r) {
        const Row row(s.at.batch, s.at.head, s.at.segment->k_begin + s.place(r));
        DEMI_ROLLED
        for (int all = left_out ? 0 : 1; all < 2; ++all) {
            if (all == 1 && s.is_finite(r, size)) continue;
            s.put(
                r, size,
                [&](int64_t column, double(&acc)[kColumns]) {
                    exact_grad_key(call, m.sums, row, values, all == 1, column, acc);
                },
                [&](float& x, double exact) {
                    if (all == 1)
                        mend(x, exact);
                    else
                        x += static_cast<float>(exact);
                });
        }
    }
}

}  // namespace demi::gpu_kernels
