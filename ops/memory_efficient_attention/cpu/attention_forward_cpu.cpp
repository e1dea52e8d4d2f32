#include "ops/memory_efficient_attention/cpu/attention_f64.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

constexpr int64_t kKeyLimit = kRegisters == 32 ? 384 : 256;  // keys per tile at head size 64
constexpr int64_t kQueryLimit = kRegisters == 32 ? 56 : 48;  // queries per block: whole register tiles

// Running softmax of the task's queries: out = acc / sum, with scores relative to `top`, in powers of two.
struct State {
    float* acc;
    float* top;
    float* sum;
};

// The rows of a block, from pass to pass.
struct BlockRows {
    SeenColumns seen[kQueryLimit];
    float top[kQueryLimit];  // the new running maximum
};

// The running maximum of every row. A row by itself would wait for its own maximum before it can go on.
DEMI_INLINE void raise_tops(float* scores, int64_t ld, int64_t rows, const Columns& columns, const float* top,
                            BlockRows* block) {
    for (int64_t r = 0; r < rows; ++r) {
        float* s = scores + r * ld;
        const SeenColumns row = block->seen[r];
        const bool empty = row.begin >= row.end;
        fill_outside(s, columns, empty ? SeenColumns{columns.right, columns.right} : row, -__builtin_inff());
        vf highest = loadu(s + columns.left);
        for (int64_t j = columns.left + kLanes; j < columns.right; j += kLanes)
            highest = max(highest, loadu(s + j));
        const float tile_top = hmax(highest);
        block->top[r] = tile_top > top[r] ? tile_top : top[r];
    }
}

// Turns the scores of one row into weights and folds them into the running sum.
DEMI_INLINE void softmax_row(float* s, const Columns& columns, float new_top, float* acc, int64_t width,
                             float* top, float* sum) {
    const float minus_infinity = -__builtin_inff();
    const float base = new_top == minus_infinity ? 0.f : new_top;  // a row of -infinity: weights 0, not NaN
    const vf shift = broadcast(base);
    vf total = zero();
    for (int64_t j = columns.left; j < columns.right; j += kLanes) {
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
    TileSizes cut;
    float *keys, *transposed, *values, *queries, *scores, *row;
    State state;

    Buffers(const AttentionCall& call, const Task& task, Arena& arena)
        : cut(tile_sizes(call, call.segments[task.segment].keys(), kKeyLimit, kQueryLimit)),
          keys(arena.take(cut.keys * cut.width)), transposed(arena.take(cut.keys * call.head_size)),
          values(arena.take(cut.keys * cut.value_width)), queries(arena.take(cut.queries * cut.width)),
          scores(arena.take(cut.queries * cut.row)),
          row(arena.take(cut.row)), state{arena.take(task.queries() * cut.value_width),
                                          arena.take(task.queries()), arena.take(task.queries())} {}
};

// `out`: where the block's results will go.
void attend(const Block& b, bool values_finite, const Buffers& buf, const State& state, const Upcoming& soon,
            const AttentionResult& out) {
    load_queries(b, buf.queries);
    score_block(b, buf.queries, buf.scores, buf.row);
    BlockRows each;
    for (int64_t r = 0; r < b.rows; ++r) each.seen[r] = b.seen_by_row(r);
    raise_tops(buf.scores, b.cut.row, b.rows, b.columns, state.top, &each);
    for (int64_t r = 0; r < b.rows; ++r) {
        float* s = buf.scores + r * b.cut.row;
        soon.fetch(b.query + r);
        fetch_row(out, r, b.call.value_size);
        softmax_row(s, b.columns, each.top[r], state.acc + r * b.cut.value_width, b.cut.value_width,
                    state.top + r, state.sum + r);
        if (b.call.dropout.probability == 0) continue;
        const SeenColumns row = each.seen[r];
        dropout_row(b, r, row, buf.row);
        for (int64_t j = row.begin; j < row.end; ++j) s[j] *= buf.row[j];
    }
    add_to_queries(b, values_finite, buf.scores, buf.values, b.cut.value_width, state.acc);
}

void finish(const AttentionForward& call, const Task& task, const TileSizes& cut, const Place& at,
            const State& state, CastCounters* lost) {
    const int64_t first = at.segment->q_begin + task.q_begin;
    float* lse = elements<float>(call.lse) + (at.batch * call.heads + at.head) * call.queries + first;
    const AttentionResult out = rows_of(call.out, at, first);
    Exact exact(call);
    for (int64_t r = 0; r < task.queries(); ++r) {
        const float sum = state.sum[r];
        const double log2e = 1.4426950408889634;
        lse[r] = sum == 0.f ? -__builtin_inff()
                            : static_cast<float>(static_cast<double>(state.top[r]) / log2e +
                                                 static_cast<double>(__builtin_logf(sum)));
        // Where the sum is NaN so is the whole row: NaN * NaN could have either's sign.
        float factor = sum == 0.f ? 0.f : sum == sum ? 1.f / sum : 1.f;
        float* row = state.acc + r * cut.value_width;
        const bool weighed = sum > 0.f;
        if (!(weighed && is_finite_row(row, call.value_size, factor))) [[unlikely]] {
            scale_row(row, call.value_size, factor);
            factor = 1.f;
            exact.result(at, task.q_begin + r, row, weighed ? nullptr : &lse[r]);
        }
        store_row(out, r, row, call.value_size, factor, lost);
    }
}

// Queries of the task against all keys of the segment; of the keys and values [k_begin, k_end) it only counts
// the casts. lost: of q, k, v and the result.
void run_task(const AttentionForward& call, const Task& task, const Task* next, const Buffers& buf,
              CastCounters* const* lost) {
    const Upcoming soon = upcoming(call, next, nullptr);
    const AttentionSegment& seg = call.segments[task.segment];
    const Place at{&seg, task.batch, task.head};
    const TileSizes& cut = buf.cut;
    const int64_t rows = task.queries(), k_begin = seg.k_begin + task.k_begin;
    const State& state = buf.state;
    fill(state.acc, 0, rows * cut.value_width, 0.f);
    fill(state.top, 0, rows, -__builtin_inff());
    fill(state.sum, 0, rows, 0.f);
    count_rows(rows_of(call.q, at, seg.q_begin + task.q_begin), rows, call.head_size, lost[0]);
    count_rows(rows_of(call.k, at, k_begin), task.keys(), call.head_size, lost[1]);
    count_rows(rows_of(call.v, at, k_begin), task.keys(), call.value_size, lost[2]);

    const int64_t blocks = ceil_div(rows, cut.queries);
    for (int64_t first = 0; first < at.keys(); first += cut.keys) {
        const Tile tile{first, min64(cut.keys, at.keys() - first), buf.transposed, buf.keys};
        if (columns_of(seg, task.q_begin, rows, tile).empty()) continue;
        const bool last = first + cut.keys >= at.keys();
        const int64_t key = seg.k_begin + first;
        load_rows(rows_of(call.k, at, key), tile.count, call.head_size, buf.keys, cut.width);
        pack_transposed(buf.keys, cut.width, tile.count, call.head_size, buf.transposed);
        const bool values_finite =
            load_rows(rows_of(call.v, at, key), tile.count, call.value_size, buf.values, cut.value_width);
        for (int64_t i = 0; i < blocks; ++i) {
            const int64_t begin = rows * i / blocks, end = rows * (i + 1) / blocks;
            const Block block{call, cut, at, tile, task.q_begin + begin, end - begin};
            if (block.columns.empty()) continue;
            const State part{state.acc + begin * cut.value_width, state.top + begin, state.sum + begin};
            attend(block, values_finite, buf, part, first == 0 ? soon : Upcoming(),
                   last ? rows_of(call.out, at, seg.q_begin + block.query) : AttentionResult{});
        }
    }
    finish(call, task, cut, at, state, lost[3]);
}

}  // namespace

void forward_f32(const AttentionForward& call, Queue queue) {
    const int64_t limit = rows_for_size(512, call);
    const auto cut = [&](Task task, const auto& add) {
        const int64_t queries = task.q_end, keys = task.k_end, parts = max64(1, ceil_div(queries, limit));
        for (int64_t i = 0; i < parts; ++i) {
            task.q_begin = queries * i / parts;
            task.q_end = queries * (i + 1) / parts;
            task.k_begin = keys * i / parts;
            task.k_end = keys * (i + 1) / parts;
            add(task);
        }
    };
    run_tasks<Buffers>(call, cut, {call.q.lost, call.k.lost, call.v.lost, call.out.lost}, queue, run_task);
    const AttentionBiasOperand& bias = call.bias;
    for (int64_t b = 0; bias.lost != nullptr && b < (bias.sum_batch ? 1 : call.batch); ++b)
        for (int64_t h = 0; h < (bias.sum_head ? 1 : call.heads); ++h)
            count_rows(rows_of(bias, Place{nullptr, b, h}, 0), bias.sum_query ? 1 : call.queries,
                       bias.sum_key ? 1 : call.keys, bias.lost);
}

}  // namespace demi::DEMI_BACKEND::attention
