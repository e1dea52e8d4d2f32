// The gradient of an additive bias: dS, summed over what the bias is broadcast over.
#include "ops/memory_efficient_attention/cpu/attention_backward_block.h"

namespace demi::DEMI_BACKEND::attention {

namespace {

// to += the sum of n rows of a block's dS, within its columns: rows first among themselves, for shorter sums.
void add_rows_together(float* to, float* block, int64_t row, int64_t n, const Columns& columns) {
    for (int64_t j = columns.left; j < columns.right; j += kLanes) {
        vf sum = loadu(block + j);
        for (int64_t r = 1; r < n; ++r) sum = sum + loadu(block + r * row + j);
        storeu(to + j, loadu(to + j) + sum);
    }
}

struct TaskBuffers : Buffers {
    float *sum, *over_keys;
    TaskBuffers(const AttentionCall& call, const Task& task, Arena& arena)
        : Buffers(call, task, arena), sum(arena.take(rows_of_sum(call, task) * cut.row)),
          over_keys(arena.take(rows_of_sum(call, task))) {}
    static int64_t rows_of_sum(const AttentionCall& call, const Task& task) {
        return call.bias.sum_query ? 1 : task.queries();
    }
};

void run_task(const AttentionBackward& call, const Task& task, const Task*, const TaskBuffers& buf,
              CastCounters* const* lost) {
    const AttentionSegment& seg = call.segments[task.segment];
    const int64_t rows = task.queries();
    const TileSizes& cut = buf.cut;
    float *sum = buf.sum, *over_keys = buf.over_keys;
    const bool over_batch = call.bias.sum_batch, over_head = call.bias.sum_head,
               over_query = call.bias.sum_query;
    const int64_t sum_rows = over_query ? 1 : rows;
    Exact exact(call);
    fill(over_keys, 0, sum_rows, 0.f);
    const int64_t batches = over_batch ? call.batch : 1, heads = over_head ? call.heads : 1;
    const int64_t blocks = ceil_div(rows, cut.queries);
    const int64_t at_row = grad_bias_row(call, task.batch, task.head, seg.q_begin + task.q_begin);
    const int64_t width = call.bias.sum_key ? 1 : call.keys;
    const Place mine{&seg, task.batch, task.head};
    const auto store = [&](float* from, int64_t apart, int64_t first, int64_t columns) {
        AttentionResult out = call.grad_bias;
        out.token = width;
        out = rows_of(out, Place{}, at_row, call.bias.sum_key ? 0 : seg.k_begin + first);
        store_rows(out, from, apart, sum_rows, columns, 1.f, lost[0], [&](int64_t r, float* row) {
            exact.bias_gradient(mine, task.q_begin + r, first, columns, row);
        });
    };
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        fill(sum, 0, sum_rows * cut.row, 0.f);
        for (int64_t pair = 0; pair < batches * heads; ++pair) {
            const Place at{&seg, over_batch ? pair / heads : task.batch,
                           over_head ? pair % heads : task.head};
            load_tile(call, at, tile, buf);
            for (int64_t i = 0; i < blocks; ++i) {
                const int64_t begin = rows * i / blocks, n = rows * (i + 1) / blocks - begin;
                const Block b{call, cut, at, tile, task.q_begin + begin, n};
                const Columns& columns = b.columns;
                if (columns.empty()) continue;
                const bool complete = holds_all(b);
                load_block(call, b, complete, buf);
                weight_block(call, b, complete, buf, exact);
                for (int64_t r = 0; r < n; r += over_query ? n : 1)
                    add_rows_together(over_query ? sum : sum + (begin + r) * cut.row,
                                      buf.grad_scores + r * cut.row, cut.row, over_query ? n : 1, columns);
            }
        }
        if (!call.bias.sum_key) {
            store(sum, cut.row, first, tile.count);
            continue;
        }
        for (int64_t r = 0; r < sum_rows; ++r) {
            vf all = zero();
            for (int64_t j = 0; j < cut.keys; j += kLanes) all = all + loadu(sum + r * cut.row + j);
            over_keys[r] += hsum(all);
        }
    }
    if (call.bias.sum_key) store(over_keys, 1, 0, 1);
}

}  // namespace

// A task sums, in order, over all that its part of the bias is stretched over.
void bias_backward(const AttentionBackward& call, Queue queue) {
    const AttentionBiasOperand& bias = call.bias;
    const int64_t limit = rows_for_size(448, call);
    const bool cut_keys = bias.sum_query && !bias.sum_key;
    const auto cut = [&](Task task, const auto& add) {
        if ((bias.sum_batch && task.batch > 0) || (bias.sum_head && task.head > 0)) return;
        int64_t &begin = cut_keys ? task.k_begin : task.q_begin, &end = cut_keys ? task.k_end : task.q_end;
        const int64_t all = end, parts = bias.sum_query && bias.sum_key ? 1 : ceil_div(all, limit);
        for (int64_t i = 0; i < parts; ++i) {
            begin = all * i / parts;
            end = all * (i + 1) / parts;
            add(task);
        }
    };
    run_tasks<TaskBuffers>(call, cut, {call.grad_bias.lost}, queue, run_task);
}

}  // namespace demi::DEMI_BACKEND::attention
