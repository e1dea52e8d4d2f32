#pragma once
// One block of queries against one tile of keys in the backward pass: P and dS. Shared by the gradients of q,
// k and v and by that of the bias.
#include "ops/memory_efficient_attention/cpu/attention_f64.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

constexpr int64_t kKeyLimit = kRegisters == 32 ? 288 : 208;
constexpr int64_t kQueryLimit = kRegisters == 32 ? 112 : 48;

// Tile of keys: K as rows and K, V transposed in panels. Block of queries: q and grad_out as rows.
struct Buffers {
    TileSizes cut;
    float *keys, *keys_t, *values_t;
    float* last_values;  // rows of V: see few_columns()
    float *queries, *grad_out, *weights, *grad_scores, *row;
    float* shift;   // per query: lse in powers of two (NaN: not known well enough)
    float* dot;     // per query: sum of grad_out * out - grad_lse
    float* values;  // V's rows, for a moment

    Buffers(const AttentionCall& call, const Task& task, Arena& arena)
        : cut(tile_sizes(call, task.keys(), kKeyLimit, kQueryLimit)), keys(arena.take(cut.keys * cut.width)),
          keys_t(arena.take(cut.keys * call.head_size)), values_t(arena.take(cut.keys * call.value_size)),
          last_values(arena.take(max64(1, kFewColumns) * cut.value_width)),
          queries(arena.take(cut.queries * cut.width)), grad_out(arena.take(cut.queries * cut.value_width)),
          weights(arena.take(cut.queries * cut.row)), grad_scores(arena.take(cut.queries * cut.row)),
          row(arena.take(max64(cut.row, cut.value_width))), shift(arena.take(cut.queries)),
          dot(arena.take(cut.queries)), values(arena.take(cut.keys * cut.value_width)) {}
};

// Returns whether all keys are finite.
bool load_tile(const AttentionCall& call, const Place& at, const Tile& tile, const Buffers& buf) {
    const TileSizes& cut = buf.cut;
    const int64_t key = at.segment->k_begin + tile.first;
    load_rows(rows_of(call.v, at, key), tile.count, call.value_size, buf.values, cut.value_width);
    pack_transposed(buf.values, cut.value_width, tile.count, call.value_size, buf.values_t);
    const int64_t last = min64(tile.count % kLanes, kFewColumns) * cut.value_width;
    for (int64_t i = 0; i < last; ++i)
        buf.last_values[i] = buf.values[tile.count * cut.value_width - last + i];
    const bool finite = load_rows(rows_of(call.k, at, key), tile.count, call.head_size, buf.keys, cut.width);
    pack_transposed(buf.keys, cut.width, tile.count, call.head_size, buf.keys_t);
    return finite;
}

// Whether the tile holds every key that a block's queries see, so that sums over a row of weights are complete.
bool holds_all(const Block& b) {
    const AttentionSegment& seg = *b.at.segment;
    return max64(0, b.query + seg.low) >= b.tile.first &&
           min64(b.at.keys(), b.query + b.rows - 1 + seg.high) <= b.tile.first + b.tile.count;
}

// Loads q, grad_out, the log-sum-exp and, unless the row sums come later, the row sums of grad_out * out. A
// query that saw nothing gives nothing: its rows become zero. Returns whether all rows are finite.
bool load_block(const AttentionBackward& call, const Block& b, bool complete, const Buffers& buf) {
    const auto& [base, cut, at, tile, query, rows, columns] = b;
    const int64_t token = at.segment->q_begin + query;
    bool finite = load_queries(b, buf.queries);
    finite &=
        load_rows(rows_of(call.grad_out, at, token), rows, call.value_size, buf.grad_out, cut.value_width);
    const int64_t index = (at.batch * call.heads + at.head) * call.queries + token;
    const float* lse = elements<float>(call.lse) + index;
    const float* grad_lse = call.grad_lse.data != nullptr ? elements<float>(call.grad_lse) + index : nullptr;
    for (int64_t r = 0; r < rows; ++r) {
        float* g = buf.grad_out + r * cut.value_width;
        buf.dot[r] = 0.f;
        if (lse[r] == -__builtin_inff()) {
            fill(buf.queries + r * cut.width, 0, cut.width, 0.f);
            fill(g, 0, cut.value_width, 0.f);
            buf.shift[r] = __builtin_inff();
            continue;
        }
        buf.shift[r] = static_cast<float>(static_cast<double>(lse[r]) * 1.4426950408889634);
        if (!(__builtin_fabsf(lse[r]) < kAttentionOddLse)) buf.shift[r] = __builtin_nanf("");
        if (grad_lse != nullptr) buf.dot[r] = -grad_lse[r] * call.grad_lse_scale;
        if (complete) continue;
        load_rows(rows_of(call.out, at, token + r), 1, call.value_size, buf.row, cut.value_width);
        vf sum = zero();
        for (int64_t c = 0; c < cut.value_width; c += kLanes)
            sum = fma(loadu(g + c), loadu(buf.row + c), sum);
        buf.dot[r] += hsum(sum);
    }
    return finite;
}

// Where a task's gradients go, asked for little by little while the weights are taken.
struct Gradients {
    AttentionResult q{}, k{}, v{};
    int64_t queries = 0;  // what rows of q count from
    DEMI_INLINE void fetch(const AttentionCall& call, int64_t query, const Tile& tile) const {
        fetch_row(q, query - queries, call.head_size);
        if (query < tile.first || query >= tile.first + tile.count) return;
        fetch_row(k, query, call.head_size);
        fetch_row(v, query, call.value_size);
    }
};

// weights = P (after dropout), grad_scores = dS, both zero outside of what each query sees. The sum of
// grad_out * out over a row equals that of P * dP, which knows nothing of the rounding of out: taken where
// the whole row is here.
void weight_block(const AttentionBackward& call, const Block& b, bool complete, const Buffers& buf,
                  Exact& exact, const Upcoming& soon = {}, const Gradients& to = {}) {
    const auto& [base, cut, at, tile, query, rows, columns] = b;
    score_block(b, buf.queries, buf.weights, buf.row);
    against_keys(b, call.value_size, buf.grad_out, cut.value_width, buf.values_t,
                 buf.last_values + few_columns(columns, tile) * cut.value_width, buf.grad_scores);
    for (int64_t r = 0; r < rows; ++r) {
        soon.fetch(query + r);
        to.fetch(call, query + r, tile);
        float* weight = buf.weights + r * cut.row;
        float* grad = buf.grad_scores + r * cut.row;
        const SeenColumns row = b.seen_by_row(r);
        const bool dropout = call.dropout.probability > 0;
        const vf shift = broadcast(buf.shift[r]);
        for (int64_t j = columns.left; j < columns.right; j += kLanes)
            storeu(weight + j, exp2_softmax(loadu(weight + j) - shift));
        fill_outside(weight, columns, row, 0.f);
        fill_outside(grad, columns, row, 0.f);
        if (dropout) {
            fill(buf.row, columns.left, columns.right, 0.f);
            dropout_row(b, r, row, buf.row);
            for (int64_t j = columns.left; j < columns.right; j += kLanes)
                storeu(grad + j, loadu(grad + j) * loadu(buf.row + j));
        }
        if (complete) {
            vf sum = zero();
            for (int64_t j = columns.left; j < columns.right; j += kLanes)
                sum = fma(loadu(weight + j), loadu(grad + j), sum);
            buf.dot[r] += hsum(sum);
        }
        const vf dot = broadcast(buf.dot[r]);
        for (int64_t j = columns.left; j < columns.right; j += kLanes)
            storeu(grad + j, loadu(weight + j) * (loadu(grad + j) - dot));
        fill_outside(grad, columns, row, 0.f);  // 0 * (0 - dot) is NaN where dot is
        if (dropout)
            for (int64_t j = columns.left; j < columns.right; j += kLanes)
                storeu(weight + j, loadu(weight + j) * loadu(buf.row + j));
        if (buf.shift[r] != buf.shift[r]) [[unlikely]]
            exact.weights(at, query + r, tile.first, tile.count, weight, grad);
    }
}

// Nothing where `out` is not wanted. mend(r, row) puts finite numbers in place of others, where it knows them.
template <class F>
void store_rows(const AttentionResult& out, float* in, int64_t width, int64_t rows, int64_t columns,
                float factor, CastCounters* lost, const F& mend) {
    for (int64_t r = 0; out.data != nullptr && r < rows; ++r) {
        float *row = in + r * width, times = factor;
        if (!is_finite_row(row, columns, factor)) [[unlikely]] {
            scale_row(row, columns, factor);
            times = 1.f;
            mend(r, row);
        }
        store_row(out, r, row, columns, times, lost);
    }
}

}  // namespace
}  // namespace demi::DEMI_BACKEND::attention
