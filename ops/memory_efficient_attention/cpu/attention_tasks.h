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

DEMI_INLINE int64_t queries_of(const AttentionSegment& s) { return s.q_end - s.q_begin; }
DEMI_INLINE int64_t keys_of(const AttentionSegment& s) { return s.k_end - s.k_begin; }

DEMI_INLINE Task with_cost(Task t, const AttentionCall& c) {
    t.cost = (t.queries() + 8) * (t.keys() + 8) * (c.head_size + c.value_size);
    return t;
}

// Calls fn(segment, batch, head) for each combination.
template <class F> void for_each_place(const AttentionCall& c, const F& fn) {
    for (int64_t s = 0; s < c.segment_count; ++s)
        for (int64_t b = 0; b < c.batch; ++b)
            for (int64_t h = 0; h < c.heads; ++h) fn(s, b, h);
}

DEMI_INLINE int64_t rows_for_size(int64_t rows, const AttentionCall& c) {
    return clamp64(rows * 128 / max64(c.head_size, c.value_size), 64, rows);
}

class Tasks {
  public:
    // cut(add) calls add(task) for each; it is called twice.
    template <class Cut>
    Tasks(const Cut& cut, Queue queue)
        : count_(count_of(cut)), memory_(static_cast<size_t>(2 * count_) * sizeof(Task), queue),
          begins_(static_cast<size_t>(count_ + 1) * sizeof(int64_t), queue), tasks_(memory_.as<Task>()) {
        int64_t n = 0;
        cut([&](const Task& task) { tasks_[n++] = task; });
        sort();
        group();
    }
    ~Tasks() {}
    int64_t groups() const { return groups_; }

    // fn(group, begin, end, next) for all groups of tasks. next: the task that this thread is likely to run
    // afterwards, or null.
    template <class F> void run(const F& fn) const {
        const int64_t* begins = begins_.as<int64_t>();
        const int64_t threads = num_threads();
        parallel_for(groups_, [&](int64_t i) {
            const Task* next = i + threads < groups_ ? tasks_ + begins[i + threads] : nullptr;
            fn(i, tasks_ + begins[i], tasks_ + begins[i + 1], next);
        });
    }

  private:
    template <class Cut> static int64_t count_of(const Cut& cut) {
        int64_t n = 0;
        cut([&](const Task&) { ++n; });
        return n;
    }
    // Long ones first; those of one cost stay in order.
    void sort() {
        Task *from = tasks_, *to = tasks_ + count_;
        for (int64_t run = 1; run < count_; run *= 2) {
            for (int64_t begin = 0; begin < count_; begin += 2 * run) {
                const int64_t middle = min64(begin + run, count_), end = min64(begin + 2 * run, count_);
                int64_t a = begin, b = middle;
                for (int64_t i = begin; i < end; ++i)
                    to[i] = b == end || (a < middle && from[a].cost >= from[b].cost) ? from[a++] : from[b++];
            }
            Task* const sorted = to;
            to = from;
            from = sorted;
        }
        tasks_ = from;
    }
    // Short ones run several at a time.
    void group() {
        constexpr int64_t kWorthAThread = int64_t{1} << 19;
        int64_t* begins = begins_.as<int64_t>();
        int64_t cost = kWorthAThread;
        for (int64_t i = 0; i < count_; ++i) {
            if (cost >= kWorthAThread) {
                begins[groups_++] = i;
                cost = 0;
            }
            cost += tasks_[i].cost;
        }
        begins[groups_] = count_;
    }

    int64_t count_, groups_ = 0;
    Scratch memory_, begins_;
    Task* tasks_;
};

// What is counted of N tensors, apart for each group, so that groups do not wait for one another.
template <int N> class GroupCounters {
  public:
    GroupCounters(CastCounters* const (&lost)[N], int64_t groups, Queue queue)
        : groups_(groups), memory_(static_cast<size_t>(groups) * sizeof(Counters), queue) {
        for (int i = 0; i < N; ++i) lost_[i] = lost[i];
    }
    ~GroupCounters() {}

    struct Counters {
        CastCounters of[N] = {};
    };
    // Of a group: fn gets pointers to count with, null where nothing is counted.
    template <class F> void count(int64_t group, const F& fn) const {
        Counters mine;
        CastCounters* counted[N];
        for (int i = 0; i < N; ++i) counted[i] = lost_[i] != nullptr ? &mine.of[i] : nullptr;
        fn(counted);
        memory_.as<Counters>()[group] = mine;
    }
    // Once all groups have run.
    void finish() const {
        for (int64_t g = 0; g < groups_; ++g)
            for (int i = 0; i < N; ++i)
                if (lost_[i] != nullptr) add_counters(*lost_[i], memory_.as<Counters>()[g].of[i]);
    }

  private:
    int64_t groups_;
    CastCounters* lost_[N];
    Scratch memory_;
};

// Cuts a call and runs it: floats(task, arena) takes the memory of a task, run(task, next, memory, lost) does
// its work. `lost` are the counters to add to, null where nothing is counted.
template <int N, class Cut, class Floats, class Run>
void run_tasks(const Cut& cut, CastCounters* const (&counters)[N], Queue queue, const Floats& floats,
               const Run& run) {
    const Tasks tasks(cut, queue);
    const GroupCounters<N> lost(counters, tasks.groups(), queue);
    tasks.run([&](int64_t group, const Task* begin, const Task* end, const Task* next) {
        int64_t most = 0;
        for (const Task* task = begin; task != end; ++task) {
            Arena arena;
            floats(*task, arena);
            most = max64(most, arena.used);
        }
        const Scratch memory(static_cast<size_t>(most) * sizeof(float), queue);
        lost.count(group, [&](CastCounters* const* counted) {
            for (const Task* task = begin; task != end; ++task)
                run(*task, task + 1 != end ? task + 1 : next, memory.as<float>(), counted);
        });
    });
    lost.finish();
}

}  // namespace

}  // namespace demi::DEMI_BACKEND::attention
