#include "ops/memory_efficient_attention/attention_cpu.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"
#include "runtime/random.h"

namespace demi {

DEMI_ISA_TABLE(AttentionIsa, attention_isa)

namespace {

struct Job {
    AttentionTask task;
    bool want_q = false, want_kv = false, count_grad_out = false;
    int64_t cost = 0;
};

class Scratch {
  public:
    explicit Scratch(int64_t floats)
        : bytes_(static_cast<size_t>(floats) * sizeof(float)), memory_(allocate(Device::cpu(), bytes_)) {}
    ~Scratch() { release(Device::cpu(), memory_, bytes_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    float* data() const { return static_cast<float*>(memory_); }

  private:
    size_t bytes_;
    void* memory_;
};

int64_t queries_of(const AttentionSegment& s) { return s.q_end - s.q_begin; }
int64_t keys_of(const AttentionSegment& s) { return s.k_end - s.k_begin; }

int64_t cost_of(const AttentionProblem& p, const AttentionTask& t) {
    return (t.q_end - t.q_begin + 8) * (t.k_end - t.k_begin + 8) * (p.head_size + p.value_size);
}

// Calls fn(segment, batch, head) for each combination.
template <class F> void for_each_place(const AttentionProblem& p, F&& fn) {
    for (int64_t s = 0; s < p.segment_count; ++s)
        for (int64_t b = 0; b < p.batch; ++b)
            for (int64_t h = 0; h < p.heads; ++h) fn(s, b, h);
}

// Runs the jobs, long ones first, short ones several at a time. Which job runs where changes no result.
// fn(begin, end, next): the job that this thread is likely to run afterwards may be known.
template <class F> void run_jobs(std::vector<Job>& jobs, F&& fn) {
    std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.cost > b.cost; });
    constexpr int64_t kWorthATask = int64_t{1} << 19;
    std::vector<size_t> starts;
    int64_t cost = kWorthATask;
    for (size_t i = 0; i < jobs.size(); ++i) {
        if (cost >= kWorthATask) {
            starts.push_back(i);
            cost = 0;
        }
        cost += jobs[i].cost;
    }
    starts.push_back(jobs.size());
    const auto threads = static_cast<size_t>(num_threads());
    parallel_for(static_cast<int64_t>(starts.size()) - 1, [&](int64_t i) {
        const auto at = static_cast<size_t>(i);
        const Job* next = at + threads + 1 < starts.size() ? jobs.data() + starts[at + threads] : nullptr;
        fn(jobs.data() + starts[at], jobs.data() + starts[at + 1], next);
    });
}

const AttentionTask* task_after(const Job* job, const Job* end, const Job* next) {
    if (job + 1 != end) return &job[1].task;
    return next != nullptr ? &next->task : nullptr;
}

int64_t rows_for_size(int64_t rows, const AttentionProblem& p) {
    return std::clamp<int64_t>(rows * 128 / std::max(p.head_size, p.value_size), 64, rows);
}

std::vector<Job> forward_jobs(const AttentionProblem& p) {
    const int64_t limit = rows_for_size(512, p);
    std::vector<Job> jobs;
    for_each_place(p, [&](int64_t s, int64_t b, int64_t h) {
        const int64_t queries = queries_of(p.segments[s]), keys = keys_of(p.segments[s]);
        const int64_t parts = std::max<int64_t>(1, ceil_div(queries, limit));
        for (int64_t i = 0; i < parts; ++i) {
            Job job;
            job.task = {s, b, h, queries * i / parts, queries * (i + 1) / parts, 0, keys};
            job.cost = cost_of(p, job.task);
            job.task.k_begin = keys * i / parts;
            job.task.k_end = keys * (i + 1) / parts;
            jobs.push_back(job);
        }
    });
    return jobs;
}

// One task for each (segment, batch, head), which computes P once for all gradients; where that leaves
// threads without work, one set of tasks for the keys' gradients and one for the queries', each computing P.
std::vector<Job> backward_jobs(const AttentionProblem& p, const AttentionBackward& g) {
    const bool want_q = g.grad_q.data != nullptr,
               want_kv = g.grad_k.data != nullptr || g.grad_v.data != nullptr;
    int64_t longest = 0;
    for (int64_t s = 0; s < p.segment_count; ++s)
        longest = std::max({longest, queries_of(p.segments[s]), keys_of(p.segments[s])});
    const bool split = longest > 2048 && p.segment_count * p.batch * p.heads < 16;
    const int64_t q_limit = rows_for_size(512, p), k_limit = rows_for_size(576, p);
    std::vector<Job> jobs;
    const auto add = [&](const AttentionTask& task, bool q, bool kv, bool count) {
        if (q || kv || count) jobs.push_back({task, q, kv, count, cost_of(p, task)});
    };
    for_each_place(p, [&](int64_t s, int64_t b, int64_t h) {
        const int64_t queries = queries_of(p.segments[s]), keys = keys_of(p.segments[s]);
        if (!split) return add({s, b, h, 0, queries, 0, keys}, want_q, want_kv, want_q || want_kv);
        const int64_t q_parts = ceil_div(queries, q_limit), k_parts = ceil_div(keys, k_limit);
        for (int64_t i = 0; want_q && i < q_parts; ++i)
            add({s, b, h, queries * i / q_parts, queries * (i + 1) / q_parts, 0, keys}, true, false, true);
        for (int64_t i = 0; want_kv && i < k_parts; ++i)
            add({s, b, h, 0, queries, keys * i / k_parts, keys * (i + 1) / k_parts}, false, true,
                !want_q && i == 0);
    });
    return jobs;
}

void merge(CastCounters& into, const CastCounters& from) {
    into.elements += from.elements;
    into.to_inf += from.to_inf;
    into.nan += from.nan;
    into.to_zero += from.to_zero;
    into.subnormal += from.subnormal;
    into.amax = std::max(into.amax, from.amax);
}

void count_bias(const AttentionProblem& p, CastCounters* counters) {
    const int64_t batches = p.bias.sum_batch ? 1 : p.batch, heads = p.bias.sum_head ? 1 : p.heads;
    for (int64_t b = 0; b < batches; ++b)
        for (int64_t h = 0; h < heads; ++h) attention_isa().count_bias(p, b, h, counters);
}

}  // namespace

void attention_forward_cpu(const AttentionProblem& p, const AttentionForward& f,
                           AttentionForwardCounters* counters) {
    const AttentionIsa& isa = attention_isa();
    std::mutex mutex;
    std::vector<Job> jobs = forward_jobs(p);
    run_jobs(jobs, [&](const Job* begin, const Job* end, const Job* next) {
        int64_t floats = 0;
        for (const Job* job = begin; job != end; ++job)
            floats = std::max(floats, isa.forward_scratch(p, job->task));
        const Scratch scratch(floats);
        AttentionForwardCounters mine;
        for (const Job* job = begin; job != end; ++job)
            isa.forward(p, f, job->task, task_after(job, end, next), scratch.data(),
                        counters != nullptr ? &mine : nullptr);
        if (counters == nullptr) return;
        const std::lock_guard lock(mutex);  // sums and maxima: the order does not matter
        merge(counters->q, mine.q);
        merge(counters->k, mine.k);
        merge(counters->v, mine.v);
        merge(counters->out, mine.out);
    });
    if (counters != nullptr && p.bias.data != nullptr) count_bias(p, &counters->bias);
}

void attention_backward_cpu(const AttentionProblem& p, const AttentionBackward& g,
                            AttentionBackwardCounters* counters) {
    const AttentionIsa& isa = attention_isa();
    std::mutex mutex;
    const auto add_counters = [&](const AttentionBackwardCounters& mine) {
        if (counters == nullptr) return;
        const std::lock_guard lock(mutex);
        merge(counters->grad_out, mine.grad_out);
        merge(counters->grad_q, mine.grad_q);
        merge(counters->grad_k, mine.grad_k);
        merge(counters->grad_v, mine.grad_v);
        merge(counters->grad_bias, mine.grad_bias);
    };
    std::vector<Job> jobs = backward_jobs(p, g);
    run_jobs(jobs, [&](const Job* begin, const Job* end, const Job* next) {
        int64_t floats = 0;
        for (const Job* job = begin; job != end; ++job)
            floats = std::max(floats, isa.backward_scratch(p, job->task, job->want_q));
        const Scratch scratch(floats);
        AttentionBackwardCounters mine;
        for (const Job* job = begin; job != end; ++job) {
            mine.count_grad_out = job->count_grad_out;
            isa.backward(p, g, job->task, task_after(job, end, next), job->want_q, job->want_kv,
                         scratch.data(), counters != nullptr ? &mine : nullptr);
        }
        add_counters(mine);
    });
    if (g.grad_bias.data == nullptr) return;

    std::vector<Job> bias_jobs;
    const int64_t limit = rows_for_size(448, p);
    for_each_place(p, [&](int64_t s, int64_t b, int64_t h) {
        if ((p.bias.sum_batch && b > 0) || (p.bias.sum_head && h > 0)) return;
        // A task sums over all that its part of the bias is stretched over.
        const bool cut_keys = p.bias.sum_query && !p.bias.sum_key;
        const int64_t queries = queries_of(p.segments[s]), keys = keys_of(p.segments[s]);
        const int64_t parts =
            p.bias.sum_query && p.bias.sum_key ? 1 : ceil_div(cut_keys ? keys : queries, limit);
        for (int64_t i = 0; i < parts; ++i) {
            Job job;
            job.task = cut_keys ? AttentionTask{s, b, h, 0, queries, keys * i / parts, keys * (i + 1) / parts}
                       : parts == 1
                           ? AttentionTask{s, b, h, 0, queries, 0, keys}
                           : AttentionTask{s, b, h, queries * i / parts, queries * (i + 1) / parts, 0, keys};
            job.cost = cost_of(p, job.task);
            bias_jobs.push_back(job);
        }
    });
    run_jobs(bias_jobs, [&](const Job* begin, const Job* end, const Job*) {
        AttentionBackwardCounters mine;
        for (const Job* job = begin; job != end; ++job) {
            const Scratch scratch(isa.bias_scratch(p, job->task));
            isa.bias_backward(p, g, job->task, scratch.data(), counters != nullptr ? &mine : nullptr);
        }
        add_counters(mine);
    });
}

void attention_dropout_fill(const AttentionDropout& self, int64_t batch, int64_t head, int64_t query,
                            int64_t key, int64_t n, float* factor) {
    const auto row = static_cast<uint64_t>((batch * self.heads + head) * self.queries + query);
    const uint64_t first = row * static_cast<uint64_t>(self.keys) + static_cast<uint64_t>(key);
    const auto p = static_cast<float>(self.probability);
    const float kept = self.probability < 1 ? static_cast<float>(1 / (1 - self.probability)) : 0.f;
    const std::array<uint32_t, 2> seed = {static_cast<uint32_t>(self.seed),
                                          static_cast<uint32_t>(self.seed >> 32)};
    for (int64_t j = 0; j < n;) {  // word i of the stream is word i % 4 of Philox block i / 4
        const uint64_t word = first + static_cast<uint64_t>(j), block = self.offset + word / 4;
        const Philox bits =
            philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}, seed);
        for (size_t i = word % 4; i < 4 && j < n; ++i, ++j) factor[j] = to_uniform(bits[i]) >= p ? kept : 0.f;
    }
}

}  // namespace demi
