#include "ops/memory_efficient_attention/attention_forward.h"

#include "ops/memory_efficient_attention/attention_block.h"

namespace demi::DEMI_ISA_NS::attention {
namespace {

constexpr int64_t kKeyLimit = kLanes == 16 ? 384 : 256;  // keys per tile at head size 64
constexpr int64_t kQueryLimit = kLanes == 16 ? 56 : 48;  // queries per block: whole register tiles

// Running softmax of the task's queries: out = acc / sum, with scores relative to `top`, in powers of two.
struct State {
    float* acc;
    float* top;
    float* sum;
};

// The rows of a block, from pass to pass.
struct BlockRows {
    RowSpan span[kQueryLimit];
    float top[kQueryLimit];  // the new running maximum
};

// The running maximum of every row. A row by itself would wait for its own maximum before it can go on.
DEMI_INLINE void raise_tops(float* scores, int64_t ld, int64_t rows, const Span& span, const float* top,
                            BlockRows* block) {
    for (int64_t r = 0; r < rows; ++r) {
        float* s = scores + r * ld;
        const RowSpan row = block->span[r];
        const bool empty = row.begin >= row.end;
        fill_outside(s, span, empty ? RowSpan{span.right, span.right} : row, -__builtin_inff());
        vf highest = loadu(s + span.left);
        for (int64_t j = span.left + kLanes; j < span.right; j += kLanes)
            highest = max(highest, loadu(s + j));
        const float tile_top = hmax(highest);
        block->top[r] = tile_top > top[r] ? tile_top : top[r];
    }
}

// Turns the scores of one row into weights and folds them into the running sum.
DEMI_INLINE void softmax_row(float* s, const Span& span, float new_top, float* acc, int64_t width, float* top,
                             float* sum) {
    const float minus_infinity = -__builtin_inff();
    const float base = new_top == minus_infinity ? 0.f : new_top;  // a row of -infinity: weights 0, not NaN
    const vf shift = broadcast(base);
    vf total = zero();
    for (int64_t j = span.left; j < span.right; j += kLanes) {
        const vf weight = exp2_softmax(loadu(s + j) - shift);
        total = total + weight;
        storeu(s + j, weight);
    }
    const float old_top = *top;
    *top = new_top;
    if (old_top == minus_infinity && *sum == 0.f) {  // nothing to carry on: acc is still 0
        *sum = hsum(total);
        return;
    }
    if (old_top == new_top) {
        *sum += hsum(total);
        return;
    }
    float first[kLanes];
    storeu(first, exp2_softmax(broadcast(old_top - base)));
    const float decay = first[0];
    *sum = *sum * decay + hsum(total);
    const vf d = broadcast(decay);
    for (int64_t c = 0; c < width; c += kLanes) storeu(acc + c, loadu(acc + c) * d);
}

struct Buffers {
    float *keys, *transposed, *values, *queries, *scores, *row;
};

// One block of queries, `rows` from `query` on, against one tile of keys. `out`: where
// the block's results will go.
void block(const AttentionProblem& p, const Cut& cut, const Place& at, int64_t query, int64_t rows,
           const Tile& tile, bool values_finite, const Buffers& buf, const State& state, const Upcoming& soon,
           const ResultRows& out) {
    const AttentionSegment& seg = *at.segment;
    const Span span = block_span(seg, query, rows, tile);
    if (span.empty()) return;
    load_queries(p, cut, at, query, rows, buf.queries);
    score_block(p, cut, at, query, rows, tile, span, buf.queries, buf.scores, buf.row);
    BlockRows each;
    for (int64_t r = 0; r < rows; ++r) each.span[r] = row_span(seg, query + r, tile, span);
    raise_tops(buf.scores, cut.row, rows, span, state.top, &each);
    for (int64_t r = 0; r < rows; ++r) {
        float* s = buf.scores + r * cut.row;
        soon.fetch(query + r);
        fetch_result(out, r, p.value_size);
        softmax_row(s, span, each.top[r], state.acc + r * cut.value_width, cut.value_width, state.top + r,
                    state.sum + r);
        if (p.dropout.fill == nullptr) continue;
        const RowSpan row = each.span[r];
        dropout_row(p, at, query + r, tile, row, buf.row);
        for (int64_t j = row.begin; j < row.end; ++j) s[j] *= buf.row[j];
    }
    // 0 * infinity is NaN: where a value is not finite, a row must not even touch the
    // keys that it does not see.
    const bool together = values_finite || span.full;
    for (int64_t r = 0; r < rows; r += together ? rows : 1) {
        const RowSpan row = together ? RowSpan{span.begin, span.end} : row_span(seg, query + r, tile, span);
        multiply_add(together ? rows : 1, cut.value_width / kLanes, row.end - row.begin,
                     buf.scores + r * cut.row + row.begin, cut.row, 1,
                     buf.values + row.begin * cut.value_width, cut.value_width, kPanel,
                     state.acc + r * cut.value_width, cut.value_width);
    }
}

void finish(const AttentionProblem& p, const AttentionForward& f, const AttentionTask& task, const Cut& cut,
            const Place& at, const State& state, CastCounters* counters) {
    const int64_t first = at.segment->q_begin + task.q_begin;
    float* lse = p.lse + (at.batch * p.heads + at.head) * p.queries + first;
    const ResultRows out = rows_of(f.out, at.batch, at.head, first);
    for (int64_t r = 0; r < task.q_end - task.q_begin; ++r) {
        const float sum = state.sum[r];
        const double log2e = 1.4426950408889634;
        lse[r] = sum == 0.f ? -__builtin_inff()
                            : static_cast<float>(static_cast<double>(state.top[r]) / log2e +
                                                 static_cast<double>(__builtin_logf(sum)));
        // Where the sum is NaN so is the whole row: NaN * NaN could have either's sign.
        float factor = sum == 0.f ? 0.f : sum == sum ? 1.f / sum : 1.f;
        float* row = state.acc + r * cut.value_width;
        const bool weighed = sum > 0.f;
        if (f.exact != nullptr && !(weighed && is_finite_row(row, p.value_size, factor))) [[unlikely]] {
            scale_row(row, p.value_size, factor);
            factor = 1.f;
            f.exact->result(*f.exact, place_of(p, at, task.q_begin + r), row, weighed ? nullptr : &lse[r]);
        }
        store_row(out, r, row, p.value_size, factor, counters);
    }
}

void count(const AttentionProblem& p, const AttentionTask& task, const Place& at,
           AttentionForwardCounters* counters) {
    const int64_t q = at.segment->q_begin + task.q_begin, k = at.segment->k_begin + task.k_begin;
    const int64_t keys = task.k_end - task.k_begin;
    count_rows(rows_of(p.q, at.batch, at.head, q), task.q_end - task.q_begin, p.head_size, &counters->q);
    count_rows(rows_of(p.k, at.batch, at.head, k), keys, p.head_size, &counters->k);
    count_rows(rows_of(p.v, at.batch, at.head, k), keys, p.value_size, &counters->v);
}

Buffers take_buffers(const AttentionProblem& p, const Cut& cut, Pieces& pieces) {
    Buffers b;
    b.keys = pieces.take(cut.keys * cut.width);
    b.transposed = pieces.take(cut.keys * p.head_size);
    b.values = pieces.take(cut.keys * cut.value_width);
    b.queries = pieces.take(cut.queries * cut.width);
    b.scores = pieces.take(cut.queries * cut.row);
    b.row = pieces.take(cut.row);
    return b;
}

}  // namespace

int64_t forward_scratch(const AttentionProblem& p, const AttentionTask& task) {
    const AttentionSegment& seg = p.segments[task.segment];
    const Cut cut = make_cut(p, seg.k_end - seg.k_begin, kKeyLimit, kQueryLimit);
    Pieces pieces;
    const int64_t rows = task.q_end - task.q_begin;
    take_buffers(p, cut, pieces);
    pieces.take(rows * cut.value_width);
    pieces.take(rows);
    pieces.take(rows);
    return pieces.used;
}

void forward(const AttentionProblem& p, const AttentionForward& f, const AttentionTask& task,
             const AttentionTask* next, float* scratch, AttentionForwardCounters* counters) {
    const Upcoming soon = upcoming(p, next, nullptr);
    const AttentionSegment& seg = p.segments[task.segment];
    const Place at{&seg, task.batch, task.head};
    const Cut cut = make_cut(p, at.keys(), kKeyLimit, kQueryLimit);
    Pieces pieces{scratch, 0};
    const Buffers buf = take_buffers(p, cut, pieces);
    const int64_t rows = task.q_end - task.q_begin;
    State state;
    state.acc = pieces.take(rows * cut.value_width);
    state.top = pieces.take(rows);
    state.sum = pieces.take(rows);
    fill(state.acc, 0, rows * cut.value_width, 0.f);
    fill(state.top, 0, rows, -__builtin_inff());
    fill(state.sum, 0, rows, 0.f);
    if (counters != nullptr) count(p, task, at, counters);

    const auto out_from = [&](int64_t row) {
        return rows_of(f.out, at.batch, at.head, seg.q_begin + task.q_begin + row);
    };
    const int64_t blocks = (rows + cut.queries - 1) / cut.queries;
    for (int64_t first = 0; first < at.keys(); first += cut.keys) {
        const Tile tile{first, min64(cut.keys, at.keys() - first), buf.transposed, buf.keys};
        if (block_span(seg, task.q_begin, rows, tile).empty()) continue;
        const bool last = first + cut.keys >= at.keys();
        const int64_t key = seg.k_begin + first;
        load_rows(rows_of(p.k, at.batch, at.head, key), tile.count, p.head_size, buf.keys, cut.width);
        pack_transposed(buf.keys, cut.width, tile.count, p.head_size, buf.transposed);
        const bool values_finite = load_rows(rows_of(p.v, at.batch, at.head, key), tile.count, p.value_size,
                                             buf.values, cut.value_width);
        for (int64_t i = 0; i < blocks; ++i) {
            const int64_t begin = rows * i / blocks, end = rows * (i + 1) / blocks;
            const State part{state.acc + begin * cut.value_width, state.top + begin, state.sum + begin};
            block(p, cut, at, task.q_begin + begin, end - begin, tile, values_finite, buf, part,
                  first == 0 ? soon : Upcoming(), last ? out_from(begin) : ResultRows{});
        }
    }
    finish(p, f, task, cut, at, state, counters != nullptr ? &counters->out : nullptr);
}

}  // namespace demi::DEMI_ISA_NS::attention
