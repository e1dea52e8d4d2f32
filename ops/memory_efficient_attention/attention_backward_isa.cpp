#include "ops/memory_efficient_attention/attention_backward.h"

#include "ops/memory_efficient_attention/attention_block.h"

namespace demi::DEMI_ISA_NS::attention {
namespace {

constexpr int64_t kKeyLimit = kLanes == 16 ? 288 : 208;
constexpr int64_t kQueryLimit = kLanes == 16 ? 112 : 48;

// Tile of keys: K as rows and K, V transposed in panels. Block of queries: q and grad_out as rows.
struct Buffers {
    float *keys, *keys_t, *values_t;
    float* last_values;  // rows of V: see few_columns()
    float *queries, *grad_out, *weights, *grad_scores, *row;
    float *shift, *dot;  // per query: lse in powers of two, sum of grad_out * out - grad_lse
};

Buffers take_buffers(const AttentionProblem& p, const Cut& cut, Pieces& pieces) {
    Buffers b;
    b.keys = pieces.take(cut.keys * cut.width);
    b.keys_t = pieces.take(cut.keys * p.head_size);
    b.values_t = pieces.take(cut.keys * p.value_size);
    b.last_values = pieces.take(max64(1, kFewColumns) * cut.value_width);
    b.queries = pieces.take(cut.queries * cut.width);
    b.grad_out = pieces.take(cut.queries * cut.value_width);
    b.weights = pieces.take(cut.queries * cut.row);
    b.grad_scores = pieces.take(cut.queries * cut.row);
    b.row = pieces.take(max64(cut.row, cut.value_width));
    b.shift = pieces.take(cut.queries);
    b.dot = pieces.take(cut.queries);
    return b;
}

// `spare` holds the values' rows for a moment. Returns whether all keys are finite.
bool load_tile(const AttentionProblem& p, const Cut& cut, const Place& at, const Tile& tile,
               const Buffers& buf, float* spare) {
    const int64_t key = at.segment->k_begin + tile.first;
    load_rows(rows_of(p.v, at.batch, at.head, key), tile.count, p.value_size, spare, cut.value_width);
    pack_transposed(spare, cut.value_width, tile.count, p.value_size, buf.values_t);
    const int64_t last = min64(tile.count % kLanes, kFewColumns) * cut.value_width;
    for (int64_t i = 0; i < last; ++i) buf.last_values[i] = spare[tile.count * cut.value_width - last + i];
    const bool finite =
        load_rows(rows_of(p.k, at.batch, at.head, key), tile.count, p.head_size, buf.keys, cut.width);
    pack_transposed(buf.keys, cut.width, tile.count, p.head_size, buf.keys_t);
    return finite;
}

// Whether the tile holds every key that these queries see, so that sums over a row of weights are complete.
bool holds_all(const Place& at, int64_t query, int64_t rows, const Tile& tile) {
    const AttentionSegment& seg = *at.segment;
    return max64(0, query + seg.low) >= tile.first &&
           min64(at.keys(), query + rows - 1 + seg.high) <= tile.first + tile.count;
}

// Loads q, grad_out, the log-sum-exp and, unless the row sums come later, the row sums of grad_out * out. A
// query that saw nothing gives nothing: its rows become zero. Returns whether all rows are finite.
bool load_block(const AttentionProblem& p, const AttentionBackward& b, const Cut& cut, const Place& at,
                int64_t query, int64_t rows, bool complete, const Buffers& buf) {
    const int64_t token = at.segment->q_begin + query;
    bool finite = load_queries(p, cut, at, query, rows, buf.queries);
    finite &= load_rows(rows_of(b.grad_out, at.batch, at.head, token), rows, p.value_size, buf.grad_out,
                        cut.value_width);
    const int64_t index = (at.batch * p.heads + at.head) * p.queries + token;
    const float* lse = p.lse + index;
    const float* grad_lse = b.grad_lse != nullptr ? b.grad_lse + index : nullptr;
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
        if (grad_lse != nullptr) buf.dot[r] = -grad_lse[r] * b.grad_lse_scale;
        if (complete) continue;
        load_rows(rows_of(b.out, at.batch, at.head, token + r), 1, p.value_size, buf.row, cut.value_width);
        vf sum = zero();
        for (int64_t c = 0; c < cut.value_width; c += kLanes)
            sum = fma(loadu(g + c), loadu(buf.row + c), sum);
        buf.dot[r] += hsum(sum);
    }
    return finite;
}

// Where a task's gradients go, asked for little by little while the weights are taken.
struct Gradients {
    ResultRows q{}, k{}, v{};
    int64_t queries = 0;  // what rows of q count from
    DEMI_INLINE void fetch(const AttentionProblem& p, int64_t query, const Tile& tile) const {
        fetch_result(q, query - queries, p.head_size);
        if (query < tile.first || query >= tile.first + tile.count) return;
        fetch_result(k, query, p.head_size);
        fetch_result(v, query, p.value_size);
    }
};

// weights = P (after dropout), grad_scores = dS, both zero outside of what each query sees. The sum of
// grad_out * out over a row equals that of P * dP, which knows nothing of the rounding of out: taken where
// the whole row is here.
void weight_block(const AttentionProblem& p, const Cut& cut, const Place& at, int64_t query, int64_t rows,
                  const Tile& tile, const Span& span, bool complete, const Buffers& buf, const Upcoming& soon,
                  const Gradients& to) {
    score_block(p, cut, at, query, rows, tile, span, buf.queries, buf.weights, buf.row);
    const int64_t few = few_columns(span, tile);
    multiply(rows, (span.right - span.left) / kLanes - (few > 0), p.value_size, buf.grad_out, cut.value_width,
             1, buf.values_t + span.left * p.value_size, kPanel, kPanel * p.value_size,
             buf.grad_scores + span.left, cut.row);
    multiply_rows(rows, few, cut.value_width, buf.grad_out, cut.value_width, buf.last_values, cut.value_width,
                  buf.grad_scores + span.end - few, cut.row);
    for (int64_t r = 0; r < rows; ++r) {
        soon.fetch(query + r);
        to.fetch(p, query + r, tile);
        float* weight = buf.weights + r * cut.row;
        float* grad = buf.grad_scores + r * cut.row;
        const RowSpan row = row_span(*at.segment, query + r, tile, span);
        const bool dropout = p.dropout.fill != nullptr;
        const vf shift = broadcast(buf.shift[r]);
        for (int64_t j = span.left; j < span.right; j += kLanes)
            storeu(weight + j, exp2_softmax(loadu(weight + j) - shift));
        fill_outside(weight, span, row, 0.f);
        fill_outside(grad, span, row, 0.f);
        if (dropout) {
            fill(buf.row, span.left, span.right, 0.f);
            dropout_row(p, at, query + r, tile, row, buf.row);
            for (int64_t j = span.left; j < span.right; j += kLanes)
                storeu(grad + j, loadu(grad + j) * loadu(buf.row + j));
        }
        if (complete) {
            vf sum = zero();
            for (int64_t j = span.left; j < span.right; j += kLanes)
                sum = fma(loadu(weight + j), loadu(grad + j), sum);
            buf.dot[r] += hsum(sum);
        }
        const vf dot = broadcast(buf.dot[r]);
        for (int64_t j = span.left; j < span.right; j += kLanes)
            storeu(grad + j, loadu(weight + j) * (loadu(grad + j) - dot));
        fill_outside(grad, span, row, 0.f);  // 0 * (0 - dot) is NaN where dot is
        if (dropout)
            for (int64_t j = span.left; j < span.right; j += kLanes)
                storeu(weight + j, loadu(weight + j) * loadu(buf.row + j));
    }
}

void store_rows(const ResultRows& out, const float* in, int64_t width, int64_t rows, int64_t columns,
                float factor, CastCounters* counters) {
    for (int64_t r = 0; r < rows; ++r) store_row(out, r, in + r * width, columns, factor, counters);
}

// sum[key, :] += sum over the block's queries of a[query, key] * rows[query, :].
void add_to_keys(const Cut& cut, const Place& at, int64_t query, int64_t rows, const Tile& tile,
                 const Span& span, bool together, const float* a, const float* b, int64_t width, float* sum) {
    if (together)
        return multiply_add(span.end - span.begin, width / kLanes, rows, a + span.begin, 1, cut.row, b, width,
                            kPanel, sum + span.begin * width, width);
    for (int64_t j = span.begin; j < span.end; ++j) {  // only the queries that see the key
        const int64_t key = tile.first + j;
        const int64_t begin = clamp64(key - at.segment->high + 1 - query, 0, rows);
        const int64_t end = clamp64(key - at.segment->low + 1 - query, begin, rows);
        multiply_add(1, width / kLanes, end - begin, a + begin * cut.row + j, 1, cut.row, b + begin * width,
                     width, kPanel, sum + j * width, width);
    }
}

void add_to_queries(const Cut& cut, const Place& at, int64_t query, int64_t rows, const Tile& tile,
                    const Span& span, bool together, const float* a, const float* keys, float* sum) {
    for (int64_t r = 0; r < rows; r += together ? rows : 1) {
        const RowSpan row =
            together ? RowSpan{span.begin, span.end} : row_span(*at.segment, query + r, tile, span);
        multiply_add(together ? rows : 1, cut.width / kLanes, row.end - row.begin,
                     a + r * cut.row + row.begin, cut.row, 1, keys + row.begin * cut.width, cut.width, kPanel,
                     sum + r * cut.width, cut.width);
    }
}

}  // namespace

int64_t backward_scratch(const AttentionProblem& p, const AttentionTask& task, bool want_q) {
    const Cut cut = make_cut(p, task.k_end - task.k_begin, kKeyLimit, kQueryLimit);
    Pieces pieces;
    take_buffers(p, cut, pieces);
    pieces.take(cut.keys * cut.width);
    pieces.take(cut.keys * cut.value_width);
    if (want_q) pieces.take((task.q_end - task.q_begin) * cut.width);
    return pieces.used;
}

void backward(const AttentionProblem& p, const AttentionBackward& b, const AttentionTask& task,
              const AttentionTask* next, bool want_q, bool want_kv, float* scratch,
              AttentionBackwardCounters* counters) {
    const AttentionSegment& seg = p.segments[task.segment];
    const Place at{&seg, task.batch, task.head};
    const Cut cut = make_cut(p, task.k_end - task.k_begin, kKeyLimit, kQueryLimit);
    Pieces pieces{scratch, 0};
    const Buffers buf = take_buffers(p, cut, pieces);
    float* grad_k = pieces.take(cut.keys * cut.width);
    float* grad_v = pieces.take(cut.keys * cut.value_width);
    const Upcoming soon = upcoming(p, next, &b.grad_out);
    const int64_t rows = task.q_end - task.q_begin;
    float* grad_q = want_q ? pieces.take(rows * cut.width) : nullptr;
    if (want_q) fill(grad_q, 0, rows * cut.width, 0.f);
    if (counters != nullptr && counters->count_grad_out)
        count_rows(rows_of(b.grad_out, at.batch, at.head, seg.q_begin + task.q_begin), rows, p.value_size,
                   &counters->grad_out);

    Gradients to;
    if (want_q && b.grad_q.data != nullptr)
        to.q = rows_of(b.grad_q, at.batch, at.head, seg.q_begin + task.q_begin);
    if (want_kv && b.grad_k.data != nullptr) to.k = rows_of(b.grad_k, at.batch, at.head, seg.k_begin);
    if (want_kv && b.grad_v.data != nullptr) to.v = rows_of(b.grad_v, at.batch, at.head, seg.k_begin);
    to.queries = task.q_begin;

    const int64_t blocks = (rows + cut.queries - 1) / cut.queries;
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        const bool seen = rows > 0 && !block_span(seg, task.q_begin, rows, tile).empty();
        if (!seen && !want_kv) continue;
        const bool keys_finite = !seen || load_tile(p, cut, at, tile, buf, grad_v);
        fill(grad_k, 0, cut.keys * cut.width, 0.f);
        fill(grad_v, 0, cut.keys * cut.value_width, 0.f);
        for (int64_t i = 0; seen && i < blocks; ++i) {
            const int64_t begin = rows * i / blocks, n = rows * (i + 1) / blocks - begin;
            const int64_t query = task.q_begin + begin;
            const Span span = block_span(seg, query, n, tile);
            if (span.empty()) continue;
            const bool complete = holds_all(at, query, n, tile);
            const bool rows_finite = load_block(p, b, cut, at, query, n, complete, buf);
            weight_block(p, cut, at, query, n, tile, span, complete, buf, first == 0 ? soon : Upcoming(), to);
            if (want_kv) {
                const bool together = rows_finite || span.full;
                add_to_keys(cut, at, query, n, tile, span, together, buf.weights, buf.grad_out,
                            cut.value_width, grad_v);
                add_to_keys(cut, at, query, n, tile, span, together, buf.grad_scores, buf.queries, cut.width,
                            grad_k);
            }
            if (want_q)
                add_to_queries(cut, at, query, n, tile, span, keys_finite || span.full, buf.grad_scores,
                               buf.keys, grad_q + begin * cut.width);
        }
        if (!want_kv) continue;
        // The queries carry scale * log2(e): what is left of it in grad_k is log2(e).
        const int64_t key = seg.k_begin + first;
        if (b.grad_k.data != nullptr)
            store_rows(rows_of(b.grad_k, at.batch, at.head, key), grad_k, cut.width, tile.count, p.head_size,
                       kLn2, counters != nullptr ? &counters->grad_k : nullptr);
        if (b.grad_v.data != nullptr)
            store_rows(rows_of(b.grad_v, at.batch, at.head, key), grad_v, cut.value_width, tile.count,
                       p.value_size, 1.f, counters != nullptr ? &counters->grad_v : nullptr);
    }
    if (want_q && b.grad_q.data != nullptr)
        store_rows(rows_of(b.grad_q, at.batch, at.head, seg.q_begin + task.q_begin), grad_q, cut.width, rows,
                   p.head_size, p.scale, counters != nullptr ? &counters->grad_q : nullptr);
}

int64_t bias_scratch(const AttentionProblem& p, const AttentionTask& task) {
    const Cut cut = make_cut(p, task.k_end - task.k_begin, kKeyLimit, kQueryLimit);
    Pieces pieces;
    take_buffers(p, cut, pieces);
    pieces.take(cut.keys * cut.value_width);
    pieces.take((task.q_end - task.q_begin) * cut.row);
    return pieces.used;
}

void bias_backward(const AttentionProblem& p, const AttentionBackward& b, const AttentionTask& task,
                   float* scratch, AttentionBackwardCounters* counters) {
    const AttentionSegment& seg = p.segments[task.segment];
    const int64_t keys = task.k_end - task.k_begin, rows = task.q_end - task.q_begin;
    const Cut cut = make_cut(p, keys, kKeyLimit, kQueryLimit);
    Pieces pieces{scratch, 0};
    const Buffers buf = take_buffers(p, cut, pieces);
    float* spare = pieces.take(cut.keys * cut.value_width);
    float* sum = pieces.take(rows * cut.row);
    const bool over_batch = p.bias.sum_batch, over_head = p.bias.sum_head;
    const int64_t batches = over_batch ? p.batch : 1, heads = over_head ? p.heads : 1;
    const int64_t blocks = (rows + cut.queries - 1) / cut.queries;
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        fill(sum, 0, rows * cut.row, 0.f);
        for (int64_t pair = 0; pair < batches * heads; ++pair) {
            const Place at{&seg, over_batch ? pair / heads : task.batch,
                           over_head ? pair % heads : task.head};
            load_tile(p, cut, at, tile, buf, spare);
            for (int64_t i = 0; i < blocks; ++i) {
                const int64_t begin = rows * i / blocks, n = rows * (i + 1) / blocks - begin;
                const Span span = block_span(seg, task.q_begin + begin, n, tile);
                if (span.empty()) continue;
                const bool complete = holds_all(at, task.q_begin + begin, n, tile);
                load_block(p, b, cut, at, task.q_begin + begin, n, complete, buf);
                weight_block(p, cut, at, task.q_begin + begin, n, tile, span, complete, buf, Upcoming(), {});
                for (int64_t r = 0; r < n; ++r) {
                    float* to = sum + (begin + r) * cut.row;
                    const float* from = buf.grad_scores + r * cut.row;
                    for (int64_t j = span.left; j < span.right; j += kLanes)
                        storeu(to + j, loadu(to + j) + loadu(from + j));
                }
            }
        }
        const int64_t slice =
            (over_batch ? 0 : task.batch) * (over_head ? 1 : p.heads) + (over_head ? 0 : task.head);
        const int64_t at_row = slice * p.queries + seg.q_begin + task.q_begin;
        char* out = static_cast<char*>(b.grad_bias.data) +
                    (at_row * p.keys + seg.k_begin + first) * element_size(b.grad_bias.storage);
        store_rows(ResultRows{out, p.keys, b.grad_bias.storage, b.grad_bias.cast}, sum, cut.row, rows,
                   tile.count, 1.f, counters != nullptr ? &counters->grad_bias : nullptr);
    }
}

}  // namespace demi::DEMI_ISA_NS::attention
