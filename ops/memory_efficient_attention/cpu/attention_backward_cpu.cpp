#include "ops/memory_efficient_attention/cpu/attention_backward_block.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

// sum[key, :] += the sum over the block's queries of weights[query, key] * rows[query, :].
void add_to_keys(const Block& b, bool finite, const float* weights, const float* rows, int64_t width,
                 float* sum) {
    const int64_t begin = b.columns.begin, end = b.columns.end, row = b.cut.row;
    if (finite || b.columns.all_seen)
        return multiply(true, end - begin, width / kLanes, b.rows, weights + begin, 1, row, rows, width,
                        kPanel, sum + begin * width, width);
    for (int64_t j = begin; j < end; ++j) {  // only the queries that see the key
        const int64_t key = b.tile.first + j;
        const int64_t first = clamp64(key - b.at.segment->high + 1 - b.query, 0, b.rows);
        const int64_t last = clamp64(key - b.at.segment->low + 1 - b.query, first, b.rows);
        multiply(true, 1, width / kLanes, last - first, weights + first * row + j, 1, row,
                 rows + first * width, width, kPanel, sum + j * width, width);
    }
}

// What a task needs besides: the gradients of a tile of keys, and of all its queries.
struct TaskBuffers : Buffers {
    float *grad_k, *grad_v, *grad_q;
    TaskBuffers(const AttentionCall& call, const Task& task, Arena& arena)
        : Buffers(call, task, arena), grad_k(arena.take(cut.keys * cut.width)),
          grad_v(arena.take(cut.keys * cut.value_width)),
          grad_q(task.want_q ? arena.take(task.queries() * cut.width) : nullptr) {}
};

// grad_q of the task's queries where wanted, grad_k and grad_v of its keys where wanted. A gradient that is
// wanted is complete after the task: all keys for grad_q, all queries for the others. lost: of grad_out,
// grad_q, grad_k, grad_v.
void run_task(const AttentionBackward& call, const Task& task, const Task* next, const TaskBuffers& buf,
              CastCounters* const* lost) {
    const AttentionSegment& seg = call.segments[task.segment];
    const Place at{&seg, task.batch, task.head};
    const TileSizes& cut = buf.cut;
    float *grad_k = buf.grad_k, *grad_v = buf.grad_v, *grad_q = buf.grad_q;
    const Upcoming soon = upcoming(call, next, &call.grad_out);
    const int64_t rows = task.queries();
    const bool want_q = task.want_q, want_kv = task.want_kv;
    if (want_q) fill(grad_q, 0, rows * cut.width, 0.f);
    if (task.count_grad_out)
        count_rows(rows_of(call.grad_out, at, seg.q_begin + task.q_begin), rows, call.value_size, lost[0]);

    Exact exact(call);
    const auto mend = [&](char operand, int64_t first) {
        return [&exact, &at, operand, first](int64_t r, float* row) {
            exact.gradient(operand, at, first + r, row);
        };
    };

    const AttentionResult out_q = rows_of(call.grad_q, at, seg.q_begin + task.q_begin);
    Gradients to;
    if (want_kv) to.k = rows_of(call.grad_k, at, seg.k_begin);
    if (want_kv) to.v = rows_of(call.grad_v, at, seg.k_begin);
    to.queries = task.q_begin;

    const int64_t blocks = ceil_div(rows, cut.queries);
    for (int64_t first = task.k_begin; first < task.k_end; first += cut.keys) {
        const Tile tile{first, min64(cut.keys, task.k_end - first), buf.keys_t, buf.keys};
        if (want_q && first + cut.keys >= task.k_end) to.q = out_q;  // stored after it
        const bool seen = rows > 0 && !columns_of(seg, task.q_begin, rows, tile).empty();
        if (!seen && !want_kv) continue;
        const bool keys_finite = !seen || load_tile(call, at, tile, buf);
        fill(grad_k, 0, cut.keys * cut.width, 0.f);
        fill(grad_v, 0, cut.keys * cut.value_width, 0.f);
        for (int64_t i = 0; seen && i < blocks; ++i) {
            const int64_t begin = rows * i / blocks, end = rows * (i + 1) / blocks;
            const Block b{call, cut, at, tile, task.q_begin + begin, end - begin};
            if (b.columns.empty()) continue;
            const bool complete = holds_all(b), rows_finite = load_block(call, b, complete, buf);
            weight_block(call, b, complete, buf, exact, first == 0 ? soon : Upcoming(), to);
            if (want_kv) {
                add_to_keys(b, rows_finite, buf.weights, buf.grad_out, cut.value_width, grad_v);
                add_to_keys(b, rows_finite, buf.grad_scores, buf.queries, cut.width, grad_k);
            }
            if (want_q)
                add_to_queries(b, keys_finite, buf.grad_scores, buf.keys, cut.width,
                               grad_q + begin * cut.width);
        }
        if (!want_kv) continue;
        // The queries carry scale * log2(e): what is left of it in grad_k is log2(e).
        store_rows(rows_of(call.grad_k, at, seg.k_begin + first), grad_k, cut.width, tile.count,
                   call.head_size, kLn2, lost[2], mend('k', first));
        store_rows(rows_of(call.grad_v, at, seg.k_begin + first), grad_v, cut.value_width, tile.count,
                   call.value_size, 1.f, lost[3], mend('v', first));
    }
    if (want_q)
        store_rows(out_q, grad_q, cut.width, rows, call.head_size, call.scale, lost[1],
                   mend('q', task.q_begin));
}

// One task for each (segment, batch, head), which computes P once for all gradients; where that leaves
// threads without work, one set of tasks for the keys' gradients and one for the queries', each computing P.
void backward_f32(const AttentionBackward& call, Queue queue) {
    const bool want_q = call.grad_q.data != nullptr,
               want_kv = call.grad_k.data != nullptr || call.grad_v.data != nullptr;
    int64_t longest = 0;
    for (int64_t s = 0; s < call.segment_count; ++s)
        longest = max64(longest, max64(call.segments[s].queries(), call.segments[s].keys()));
    const bool split = longest > 2048 && call.segment_count * call.batch * call.heads < 16;
    const int64_t q_limit = rows_for_size(512, call), k_limit = rows_for_size(576, call);
    const auto cut = [&](Task task, const auto& add) {
        const int64_t queries = task.q_end, keys = task.k_end;
        task.want_q = want_q && !split;
        task.want_kv = want_kv && !split;
        task.count_grad_out = true;
        if (!split) {
            if (want_q || want_kv) add(task);
            return;
        }
        const int64_t q_parts = ceil_div(queries, q_limit), k_parts = ceil_div(keys, k_limit);
        task.want_q = true;
        for (int64_t i = 0; want_q && i < q_parts; ++i) {
            task.q_begin = queries * i / q_parts;
            task.q_end = queries * (i + 1) / q_parts;
            add(task);
        }
        task = {task.segment, task.batch, task.head, 0, queries, 0, keys, false, true};
        for (int64_t i = 0; want_kv && i < k_parts; ++i) {
            task.k_begin = keys * i / k_parts;
            task.k_end = keys * (i + 1) / k_parts;
            task.count_grad_out = !want_q && i == 0;
            add(task);
        }
    };
    run_tasks<TaskBuffers>(call, cut,
                           {call.grad_out.lost, call.grad_q.lost, call.grad_k.lost, call.grad_v.lost}, queue,
                           run_task);
}

void forward(const AttentionForward& call, Queue queue) {
    call.q.dtype == DType::f64 ? forward_f64(call, queue) : forward_f32(call, queue);
}

void backward(const AttentionBackward& call, Queue queue) {
    if (call.q.dtype == DType::f64) return backward_f64(call, queue);
    backward_f32(call, queue);
    if (call.grad_bias.data != nullptr) bias_backward(call, queue);
}

}  // namespace
}  // namespace demi::DEMI_BACKEND::attention

namespace demi::DEMI_BACKEND {
const AttentionKernels memory_efficient_attention_kernels{attention::forward, attention::backward};
}
