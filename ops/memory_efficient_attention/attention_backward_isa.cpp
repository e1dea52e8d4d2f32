#include "ops/memory_efficient_attention/attention_backward_block.h"

namespace demi::DEMI_ISA_NS::attention {
namespace {

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

    const auto mend = [&](char operand, int64_t first) {
        return [&p, &b, &at, operand, first](int64_t r, float* row) {
            if (b.exact != nullptr) b.exact->gradient(*b.exact, operand, place_of(p, at, first + r), row);
        };
    };

    Gradients to;
    if (want_kv && b.grad_k.data != nullptr) to.k = rows_of(b.grad_k, at.batch, at.head, seg.k_begin);
    if (want_kv && b.grad_v.data != nullptr) to.v = rows_of(b.grad_v, at.batch, at.head, seg.k_begin);
    to.queries = task.q_begin;

    const int64_t blocks = (rows + cut.queries - 1) / cut.queries;
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        if (want_q && b.grad_q.data != nullptr && first + cut.keys >= task.k_end)  // stored after it
            to.q = rows_of(b.grad_q, at.batch, at.head, seg.q_begin + task.q_begin);
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
            weight_block(p, b, cut, at, query, n, tile, span, complete, buf, first == 0 ? soon : Upcoming(),
                         to);
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
                       kLn2, counters != nullptr ? &counters->grad_k : nullptr, mend('k', first));
        if (b.grad_v.data != nullptr)
            store_rows(rows_of(b.grad_v, at.batch, at.head, key), grad_v, cut.value_width, tile.count,
                       p.value_size, 1.f, counters != nullptr ? &counters->grad_v : nullptr,
                       mend('v', first));
    }
    if (want_q && b.grad_q.data != nullptr)
        store_rows(rows_of(b.grad_q, at.batch, at.head, seg.q_begin + task.q_begin), grad_q, cut.width, rows,
                   p.head_size, p.scale, counters != nullptr ? &counters->grad_q : nullptr,
                   mend('q', task.q_begin));
}

}  // namespace demi::DEMI_ISA_NS::attention
