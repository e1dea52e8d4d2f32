// The gradient of an additive bias: dS, summed over what the bias is broadcast over.
#include "ops/memory_efficient_attention/attention_backward_block.h"

namespace demi::DEMI_ISA_NS::attention {

int64_t bias_scratch(const AttentionProblem& p, const AttentionTask& task) {
    const Cut cut = make_cut(p, task.k_end - task.k_begin, kKeyLimit, kQueryLimit);
    const int64_t rows = p.bias.sum_query ? 1 : task.q_end - task.q_begin;
    Pieces pieces;
    take_buffers(p, cut, pieces);
    pieces.take(cut.keys * cut.value_width);
    pieces.take(rows * cut.row);
    pieces.take(rows);
    return pieces.used;
}

namespace {

// to += the sum of n rows of a block's dS, within its span: rows first among themselves, for shorter sums.
void add_rows_together(float* to, float* block, int64_t row, int64_t n, const Span& span) {
    for (int64_t j = span.left; j < span.right; j += kLanes) {
        vf sum = loadu(block + j);
        for (int64_t r = 1; r < n; ++r) sum = sum + loadu(block + r * row + j);
        storeu(to + j, loadu(to + j) + sum);
    }
}

}  // namespace

void bias_backward(const AttentionProblem& p, const AttentionBackward& b, const AttentionTask& task,
                   float* scratch, AttentionBackwardCounters* counters) {
    const AttentionSegment& seg = p.segments[task.segment];
    const int64_t keys = task.k_end - task.k_begin, rows = task.q_end - task.q_begin;
    const Cut cut = make_cut(p, keys, kKeyLimit, kQueryLimit);
    Pieces pieces{scratch, 0};
    const Buffers buf = take_buffers(p, cut, pieces);
    float* spare = pieces.take(cut.keys * cut.value_width);
    const bool over_batch = p.bias.sum_batch, over_head = p.bias.sum_head, over_query = p.bias.sum_query;
    const int64_t sum_rows = over_query ? 1 : rows;
    float* sum = pieces.take(sum_rows * cut.row);
    float* over_keys = pieces.take(sum_rows);
    fill(over_keys, 0, sum_rows, 0.f);
    const int64_t batches = over_batch ? p.batch : 1, heads = over_head ? p.heads : 1;
    const int64_t blocks = (rows + cut.queries - 1) / cut.queries;
    const int64_t slice =
        (over_batch ? 0 : task.batch) * (over_head ? 1 : p.heads) + (over_head ? 0 : task.head);
    const int64_t at_row = over_query ? slice : slice * p.queries + seg.q_begin + task.q_begin;
    const int64_t width = p.bias.sum_key ? 1 : p.keys;
    const Place mine{&seg, task.batch, task.head};
    const auto store = [&](float* from, int64_t apart, int64_t first, int64_t columns) {
        char* out =
            static_cast<char*>(b.grad_bias.data) +
            (at_row * width + (p.bias.sum_key ? 0 : seg.k_begin + first)) * element_size(b.grad_bias.dtype);
        store_rows(
            ResultRows{out, width, b.grad_bias.dtype, b.grad_bias.cast}, from, apart, sum_rows, columns, 1.f,
            counters != nullptr ? &counters->grad_bias : nullptr, [&](int64_t r, float* row) {
                if (b.exact == nullptr) return;
                b.exact->bias_gradient(*b.exact, place_of(p, mine, task.q_begin + r), first, columns, row);
            });
    };
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        fill(sum, 0, sum_rows * cut.row, 0.f);
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
                weight_block(p, b, cut, at, task.q_begin + begin, n, tile, span, complete, buf, Upcoming(),
                             {});
                if (over_query) {
                    add_rows_together(sum, buf.grad_scores, cut.row, n, span);
                    continue;
                }
                for (int64_t r = 0; r < n; ++r) {
                    float* to = sum + (begin + r) * cut.row;
                    const float* from = buf.grad_scores + r * cut.row;
                    for (int64_t j = span.left; j < span.right; j += kLanes)
                        storeu(to + j, loadu(to + j) + loadu(from + j));
                }
            }
        }
        if (!p.bias.sum_key) {
            store(sum, cut.row, first, tile.count);
            continue;
        }
        for (int64_t r = 0; r < sum_rows; ++r) {
            vf all = zero();
            for (int64_t j = 0; j < cut.keys; j += kLanes) all = all + loadu(sum + r * cut.row + j);
            over_keys[r] += hsum(all);
        }
    }
    if (p.bias.sum_key) store(over_keys, 1, 0, 1);
}

}  // namespace demi::DEMI_ISA_NS::attention
