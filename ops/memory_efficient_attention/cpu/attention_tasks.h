#pragma once
// Internal: cuts a call into tasks and runs them on all threads. A task works alone, in memory of its own:
// tasks may run in any order and on any thread without changing a bit.
#include "ops/memory_efficient_attention/cpu/attention_tiles.h"

namespace demi::DEMI_BACKEND::attention {

// All of a call, but that backward_f32 leaves the bias to bias_backward. _f32: f16 and bf16 too.
void forward_f32(const AttentionForward& call, Queue queue);
void backward_f32(const AttentionBackward& call, Queue queue);
void bias_backward(const AttentionBackward& call, Queue queue);
void forward_f64(const AttentionForward& call, Queue queue);
void backward_f64(const AttentionBackward& call, Queue queue);

// Queries [q_begin, q_end) against keys [k_begin, k_end) of one segment (segment coordinates), batch
// and head.
struct Task {
    int64_t segment = 0, batch = 0, head = 0;
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
    bool want_q = false, want_kv = false;  // backward: the gradients that it writes
    bool count_grad_out = false;           // backward: it counts the rows of grad_out that it covers
    int64_t cost = 0;

    int64_t queries() const { return q_end - q_begin; }
    int64_t keys() const { return k_end - k_begin; }
};

namespace {

DEMI_INLINE int64_t rows_for_size(int64_t rows, const AttentionCall& c) {
    return clamp64(rows * 128 / max64(c.head_size, c.value_size), 64, rows);
}

// Long ones first: by powers of two, those of one class in order. `to` has room for all of them.
DEMI_INLINE void sort(const Task* tasks, int64_t count, int64_t most, Task* to) {
    int64_t n = 0;
    for (int64_t high = most, low = most / 2; n < count; high = low, low /= 2)
        for (int64_t i = 0; i < count; ++i)
            if (low < tasks[i].cost && tasks[i].cost <= high) to[n++] = tasks[i];
}

// Short ones run several at a time: group i is [begins[i], begins[i + 1]). Gives the number of groups.
DEMI_INLINE int64_t group(const Task* tasks, int64_t count, int64_t* begins) {
    constexpr int64_t kWorthAThread = int64_t{1} << 19;
    int64_t groups = 0, cost = kWorthAThread;
    for (int64_t i = 0; i < count; ++i) {
        if (cost >= kWorthAThread) {
            begins[groups++] = i;
            cost = 0;
        }
        cost += tasks[i].cost;
    }
    begins[groups] = count;
    return groups;
}

// Cuts a call and runs it: cut(task, add) gets all of a segment, batch and head, and calls add(task) for each task that it
// makes of it; it is called twice. Buffers(call, task, arena) takes the memory of a task; run(call, task, next, buffers, lost)
// does its work. next: the task that this thread is likely to run afterwards, or null. lost: the counters to add to, null
// where nothing is counted.
template <class Buffers, class Call, class Cut, class Run>
void run_tasks(const Call& c, const Cut& cut, CastCounters* const (&counters)[4], Queue queue,
               const Run& run) {
    const auto for_each = [&](const auto& add) {
        for (int64_t s = 0; s < c.segment_count; ++s)
            for (int64_t b = 0; b < c.batch; ++b)
                for (int64_t h = 0; h < c.heads; ++h)
                    cut(Task{s, b, h, 0, c.segments[s].queries(), 0, c.segments[s].keys()}, add);
    };
    int64_t count = 0, n = 0, most_cost = 0;
    for_each([&](const Task&) { ++count; });
    const Scratch task_memory(static_cast<size_t>(2 * count) * sizeof(Task), queue);
    Task *const in_order = task_memory.as<Task>(), *const tasks = in_order + count;
    for_each([&](const Task& task) {
        Task& mine = in_order[n++] = task;
        mine.cost = (task.queries() + 8) * (task.keys() + 8) * (c.head_size + c.value_size);
        most_cost = max64(most_cost, mine.cost);
    });
    sort(in_order, count, most_cost, tasks);
    const Scratch begin_memory(static_cast<size_t>(count + 1) * sizeof(int64_t), queue);
    int64_t* const begins = begin_memory.as<int64_t>();
    const int64_t groups = group(tasks, count, begins), threads = num_threads();
    const TileCounters lost[] = {{groups, counters[0], queue},
                                 {groups, counters[1], queue},
                                 {groups, counters[2], queue},
                                 {groups, counters[3], queue}};
    parallel_for(groups, [&](int64_t g) {
        const Task *const begin = tasks + begins[g], *const end = tasks + begins[g + 1];
        const Task* const next = g + threads < groups ? tasks + begins[g + threads] : nullptr;
        int64_t most = 0;
        for (const Task* task = begin; task != end; ++task) {
            Arena arena;
            Buffers(c, *task, arena);
            most = max64(most, arena.used);
        }
        const Scratch memory(static_cast<size_t>(most) * sizeof(float), queue);
        CastCounters* const mine[] = {lost[0].of(g), lost[1].of(g), lost[2].of(g), lost[3].of(g)};
        for (const Task* task = begin; task != end; ++task) {
            Arena arena{memory.as<float>()};
            run(c, *task, task + 1 != end ? task + 1 : next, Buffers(c, *task, arena), mine);
        }
    });
}

}  // namespace

}  // namespace demi::DEMI_BACKEND::attention
