// Attention without tensor cores: one warp for one query or key. Right for every size, dtype and mask.
#include "ops/memory_efficient_attention/attention_lane_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kColumns = 4;  // of a result, per lane; more of them are further passes
constexpr int64_t kMostBlocks = 1 << 20;

// One query, or one key, of one batch and head.
struct Row {
    int64_t batch, head, token;
    DEMI_DEVICE Row(const AttentionJob& job, int64_t tokens, int64_t index)
        : batch(index / tokens / job.p.heads), head(index / tokens % job.p.heads), token(index % tokens) {}
};

// What the kernels that go through the keys of a query have in common.
template <class C> struct Query {
    const AttentionJob& job;
    const AttentionSegment& segment;
    int64_t index, q, bias;  // of the row, of its first element, of its bias
    int64_t batch, head, token;
    Range keys;

    DEMI_DEVICE Query(const AttentionJob& j, const Row& row)
        : job(j), segment(segment_of<false>(j, row.token)),
          index(query_index(j, row.batch, row.head, row.token)),
          q(row_offset(j.p.q, row.batch, row.head, row.token)),
          bias(bias_offset(j, row.batch, row.head, row.token)), batch(row.batch), head(row.head),
          token(row.token), keys(keys_of_query(segment, row.token - segment.q_begin)) {}

    DEMI_DEVICE int64_t key_token(int64_t key) const { return segment.k_begin + key; }
    // In powers of two.
    DEMI_DEVICE C score(int64_t key) const {
        const int64_t k = row_offset(job.p.k, batch, head, key_token(key));
        C sum = 0;
        for (int64_t c = 0; c < job.p.head_size; ++c)
            sum = gpu::fma(element<C>(job.p.q, q + c), element<C>(job.p.k, k + c), sum);
        sum *= static_cast<C>(job.scale * kLog2E);
        return job.p.bias.data != nullptr ? sum + bias_at<C>(job, bias, key_token(key)) : sum;
    }
    DEMI_DEVICE C dropout(int64_t key) const {
        if (!has_dropout(job)) return 1;
        return is_kept(job, index, key_token(key)) ? kept_factor<C>(job) : C(0);
    }
    DEMI_DEVICE C grad_weight(int64_t key) const {
        const int64_t v = row_offset(job.p.v, batch, head, key_token(key));
        const int64_t g = row_offset(job.b.grad_out, batch, head, token);
        C sum = 0;
        for (int64_t c = 0; c < job.p.value_size; ++c)
            sum = gpu::fma(element<C>(job.b.grad_out, g + c), element<C>(job.p.v, v + c), sum);
        return sum;
    }
    DEMI_DEVICE C lse() const { return reinterpret_cast<const C*>(job.p.lse)[index]; }
    DEMI_DEVICE bool saw_nothing() const { return is_minus_infinity(lse()); }
    DEMI_DEVICE C weight(int64_t key) const {
        return gpu::exp2(score(key) - static_cast<C>(static_cast<double>(lse()) * kLog2E));
    }
    DEMI_DEVICE C dot() const { return reinterpret_cast<const C*>(job.dot)[index]; }
};

// acc[i] += weight of each key times its element of column `column + 32 i`; weights: one for each of n keys.
template <class C>
DEMI_DEVICE void add_rows(C (&acc)[kColumns], const C* weights, uint32_t taken, int n,
                          const AttentionOperand& x, int64_t first, int64_t column, int64_t columns) {
    C part[kColumns] = {};  // long sums lose less in parts
    for (int j = 0; j < n; ++j) {
        if ((taken >> j & 1u) == 0) continue;
        const int64_t row = first + j * x.token;
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < columns)
                part[i] = gpu::fma(weights[j], element<C>(x, row + column + 32 * i), part[i]);
    }
    DEMI_UNROLL
    for (int i = 0; i < kColumns; ++i) acc[i] += part[i];
}

template <class C> struct ForwardKernel {
    static constexpr int threads = kThreads;
    AttentionJob job;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t rows = job.p.batch * job.p.heads * job.p.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(job, job.p.queries, i);
            for (int64_t column = 0; column < job.p.value_size; column += 32 * kColumns)
                run(Query<C>(job, row), column, lost);
        }
        if (job.sums.out != nullptr)
            add_counts(lost, gpu::shared<uint32_t>() + kThreads * sizeof(C) / sizeof(uint32_t), job.sums.out);
    }

    DEMI_DEVICE void run(const Query<C>& query, int64_t first_column, LaneCount& lost) const {
        const C minus_infinity = -static_cast<C>(gpu::infinity());
        C* weights = gpu::shared<C>() + 32 * gpu::warp();
        const int64_t column = first_column + gpu::lane();
        C acc[kColumns] = {}, top = minus_infinity, sum = 0;
        for (int64_t first = query.keys.begin; first < query.keys.end; first += 32) {
            const int64_t key = first + gpu::lane();
            const bool mine = key < query.keys.end;
            const C score = mine ? query.score(key) : minus_infinity;
            const C highest = gpu::warp_max(score == score ? score : minus_infinity);
            const C new_top = highest > top ? highest : top;
            const C base = is_minus_infinity(new_top) ? C(0) : new_top;
            const C weight = mine ? gpu::exp2(score - base) : C(0);
            const C decay = gpu::exp2(top - base);
            top = new_top;
            sum = sum * decay + gpu::warp_sum(weight);
            gpu::sync_warp();
            weights[gpu::lane()] = mine ? weight * query.dropout(key) : C(0);
            gpu::sync_warp();
            DEMI_UNROLL
            for (int i = 0; i < kColumns; ++i) acc[i] *= decay;
            add_rows(acc, weights, 0xffffffffu, static_cast<int>(least(32, query.keys.end - first)), job.p.v,
                     row_offset(job.p.v, query.batch, query.head, query.key_token(first)), column,
                     job.p.value_size);
        }
        const C factor = sum == 0 ? C(0) : sum == sum ? 1 / sum : C(1);
        const int64_t out = row_offset(job.f.out, query.batch, query.head, query.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < job.p.value_size)
                put(job.f.out, out + column + 32 * i, sum == 0 ? C(0) : acc[i] * factor, lost);
        if (first_column == 0 && gpu::lane() == 0)
            reinterpret_cast<C*>(job.p.lse)[query.index] =
                sum == 0
                    ? minus_infinity
                    : static_cast<C>(static_cast<double>(top) * kLn2 + gpu::log(static_cast<double>(sum)));
    }
};

// dot = sum of weights times their gradients, less the log-sum-exp's gradient.
template <class C> struct DotKernel {
    static constexpr int threads = kThreads;
    AttentionJob job;

    DEMI_DEVICE void operator()() const {
        const int64_t rows = job.p.batch * job.p.heads * job.p.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Query<C> query(job, Row(job, job.p.queries, i));
            C sum = 0;
            if (!query.saw_nothing())
                for (int64_t key = query.keys.begin + gpu::lane(); key < query.keys.end; key += 32)
                    sum = gpu::fma(query.weight(key), query.grad_weight(key) * query.dropout(key), sum);
            sum = gpu::warp_sum(sum);
            if (gpu::lane() != 0) continue;
            if (job.b.grad_lse != nullptr)
                sum -= reinterpret_cast<const C*>(job.b.grad_lse)[query.index] *
                       static_cast<C>(job.b.grad_lse_scale);
            reinterpret_cast<C*>(job.dot)[query.index] = sum;
        }
    }
};

template <class C> struct GradQueriesKernel {
    static constexpr int threads = kThreads;
    AttentionJob job;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t rows = job.p.batch * job.p.heads * job.p.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(job, job.p.queries, i);
            for (int64_t column = gpu::lane(); column < job.p.head_size + gpu::lane();
                 column += 32 * kColumns)
                run(Query<C>(job, row), column, lost);
        }
        if (job.sums.grad_q != nullptr)
            add_counts(lost, gpu::shared<uint32_t>() + kThreads * sizeof(C) / sizeof(uint32_t),
                       job.sums.grad_q);
    }

    DEMI_DEVICE void run(const Query<C>& query, int64_t column, LaneCount& lost) const {
        C* grads = gpu::shared<C>() + 32 * gpu::warp();
        C acc[kColumns] = {};
        const Range keys = query.saw_nothing() ? Range{0, 0} : query.keys;
        for (int64_t first = keys.begin; first < keys.end; first += 32) {
            const int64_t key = first + gpu::lane();
            C grad = 0;
            if (key < keys.end)
                grad = query.weight(key) * (query.grad_weight(key) * query.dropout(key) - query.dot());
            gpu::sync_warp();
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            add_rows(acc, grads, 0xffffffffu, static_cast<int>(least(32, keys.end - first)), job.p.k,
                     row_offset(job.p.k, query.batch, query.head, query.key_token(first)), column,
                     job.p.head_size);
        }
        const int64_t out = row_offset(job.b.grad_q, query.batch, query.head, query.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < job.p.head_size)
                put(job.b.grad_q, out + column + 32 * i, acc[i] * static_cast<C>(job.scale), lost);
    }
};

template <class C> struct GradKeysKernel {
    static constexpr int threads = kThreads;
    AttentionJob job;

    DEMI_DEVICE void operator()() const {
        LaneCount lost_k, lost_v;
        const int64_t rows = job.p.batch * job.p.heads * job.p.keys,
                      size = most(job.p.head_size, job.p.value_size);
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(job, job.p.keys, i);
            for (int64_t column = gpu::lane(); column < size + gpu::lane(); column += 32 * kColumns)
                run(row, column, lost_k, lost_v);
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 2 * kThreads * sizeof(C) / sizeof(uint32_t);
        if (job.sums.grad_k != nullptr) add_counts(lost_k, scratch, job.sums.grad_k);
        if (job.sums.grad_v != nullptr) add_counts(lost_v, scratch, job.sums.grad_v);
    }

    DEMI_DEVICE void run(const Row& row, int64_t column, LaneCount& lost_k, LaneCount& lost_v) const {
        C* weights = gpu::shared<C>() + 64 * gpu::warp();
        C* grads = weights + 32;
        const AttentionSegment& segment = segment_of<true>(job, row.token);
        const int64_t key = row.token - segment.k_begin;
        const Range queries = queries_of_key(segment, key);
        C for_k[kColumns] = {}, for_v[kColumns] = {};
        for (int64_t first = queries.begin; first < queries.end; first += 32) {
            const int64_t token = segment.q_begin + first + gpu::lane();
            C weight = 0, grad = 0;
            bool sees = token < segment.q_begin + queries.end;
            if (sees) {
                const Query<C> query(job,
                                     Row(job, job.p.queries, query_index(job, row.batch, row.head, token)));
                sees = !query.saw_nothing();
                if (sees) {
                    const C kept = query.dropout(key);
                    weight = query.weight(key);
                    grad = weight * (query.grad_weight(key) * kept - query.dot());
                    weight *= kept;
                }
            }
            const uint32_t taken = gpu::ballot(sees);
            weights[gpu::lane()] = weight;
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            const int n = static_cast<int>(least(32, queries.end - first));
            add_rows(for_v, weights, taken, n, job.b.grad_out,
                     row_offset(job.b.grad_out, row.batch, row.head, segment.q_begin + first), column,
                     job.p.value_size);
            add_rows(for_k, grads, taken, n, job.p.q,
                     row_offset(job.p.q, row.batch, row.head, segment.q_begin + first), column,
                     job.p.head_size);
            gpu::sync_warp();
        }
        const int64_t dk = row_offset(job.b.grad_k, row.batch, row.head, row.token);
        const int64_t dv = row_offset(job.b.grad_v, row.batch, row.head, row.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i) {
            const int64_t c = column + 32 * i;
            if (job.b.grad_k.data != nullptr && c < job.p.head_size)
                put(job.b.grad_k, dk + c, for_k[i] * static_cast<C>(job.scale), lost_k);
            if (job.b.grad_v.data != nullptr && c < job.p.value_size)
                put(job.b.grad_v, dv + c, for_v[i], lost_v);
        }
    }
};

// One thread for each element of the bias; where it is stretched, it adds batches, heads,
// queries and keys in their order.
template <class C> struct GradBiasKernel {
    static constexpr int threads = kThreads;
    AttentionJob job;

    // What a dimension of the bias has, and what an element of it stands for.
    static DEMI_HOST_DEVICE int64_t own(bool sum, int64_t size) { return sum ? 1 : size; }
    static DEMI_DEVICE Range stretched(bool sum, int64_t at, int64_t size) {
        return sum ? Range{0, size} : Range{at, at + 1};
    }

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const AttentionProblem& p = job.p;
        const AttentionBiasOperand& bias = p.bias;
        const int64_t heads = own(bias.sum_head, p.heads), queries = own(bias.sum_query, p.queries),
                      keys = own(bias.sum_key, p.keys);
        const int64_t count = own(bias.sum_batch, p.batch) * heads * queries * keys;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const Range b = stretched(bias.sum_batch, i / keys / queries / heads, p.batch);
            const Range h = stretched(bias.sum_head, i / keys / queries % heads, p.heads);
            const Range q = stretched(bias.sum_query, i / keys % queries, p.queries);
            const Range k = stretched(bias.sum_key, i % keys, p.keys);
            C sum = 0;
            for (int64_t batch = b.begin; batch < b.end; ++batch)
                for (int64_t head = h.begin; head < h.end; ++head)
                    for (int64_t token = q.begin; token < q.end; ++token)
                        sum += of_query(
                            Query<C>(job, Row(job, p.queries, query_index(job, batch, head, token))), k);
            put(job.b.grad_bias, i, sum, lost);
        }
        if (job.sums.grad_bias != nullptr) add_counts(lost, gpu::shared<uint32_t>(), job.sums.grad_bias);
    }

    DEMI_DEVICE C of_query(const Query<C>& query, Range key_tokens) const {
        const int64_t first = query.segment.k_begin;
        const int64_t begin = most(query.keys.begin, key_tokens.begin - first),
                      end = least(query.keys.end, key_tokens.end - first);
        C sum = 0;
        if (begin >= end || query.saw_nothing()) return sum;
        for (int64_t key = begin; key < end; ++key)
            sum += query.weight(key) * (query.grad_weight(key) * query.dropout(key) - query.dot());
        return sum;
    }
};

struct CountKernel {
    static constexpr int threads = kThreads;
    AttentionOperand x;
    int64_t batch, tokens, heads, size;
    CastCounters* sums;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t count = batch * tokens * heads * size;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const int64_t row = i / size, head = row % heads, token = row / heads % tokens;
            const int64_t at = row_offset(x, row / heads / tokens, head, token) + i % size;
            lost.add(load_one(x.data, at, x.dtype) * x.cast.scale);
        }
        add_counts(lost, gpu::shared<uint32_t>(), sums);
    }
};

template <template <class> class Kernel>
void launch_rows(const AttentionJob& job, int64_t rows, int arrays, gpu::Stream stream) {
    const gpu::Dim3 grid = gpu::blocks_for(rows, kWarps, kMostBlocks);
    const size_t bytes = static_cast<size_t>(arrays * kThreads) * (job.f64 ? sizeof(double) : sizeof(float));
    if (job.f64)
        gpu::launch(Kernel<double>{job}, grid, {kThreads}, bytes + kCountScratch, stream);
    else
        gpu::launch(Kernel<float>{job}, grid, {kThreads}, bytes + kCountScratch, stream);
}

}  // namespace

void launch_plain_forward(const AttentionJob& job, gpu::Stream stream) {
    launch_rows<ForwardKernel>(job, job.p.batch * job.p.heads * job.p.queries, 1, stream);
}

void launch_plain_dot(const AttentionJob& job, gpu::Stream stream) {
    launch_rows<DotKernel>(job, job.p.batch * job.p.heads * job.p.queries, 0, stream);
}

void launch_plain_backward(const AttentionJob& job, gpu::Stream stream) {
    const int64_t pairs = job.p.batch * job.p.heads;
    if (job.b.grad_q.data != nullptr) launch_rows<GradQueriesKernel>(job, pairs * job.p.queries, 1, stream);
    if (job.b.grad_k.data != nullptr || job.b.grad_v.data != nullptr)
        launch_rows<GradKeysKernel>(job, pairs * job.p.keys, 2, stream);
}

void launch_plain_bias(const AttentionJob& job, gpu::Stream stream) {
    const AttentionBiasOperand& bias = job.p.bias;
    const auto own = GradBiasKernel<float>::own;
    const int64_t count = own(bias.sum_batch, job.p.batch) * own(bias.sum_head, job.p.heads) *
                          own(bias.sum_query, job.p.queries) * own(bias.sum_key, job.p.keys);
    const gpu::Dim3 grid = gpu::blocks_for(count, kThreads, kMostBlocks);
    if (job.f64)
        gpu::launch(GradBiasKernel<double>{job}, grid, {kThreads}, kCountScratch, stream);
    else
        gpu::launch(GradBiasKernel<float>{job}, grid, {kThreads}, kCountScratch, stream);
}

void launch_count_operand(const AttentionOperand& x, int64_t batch, int64_t tokens, int64_t heads,
                          int64_t size, CastCounters* sums, gpu::Stream stream) {
    gpu::launch(CountKernel{x, batch, tokens, heads, size, sums},
                gpu::blocks_for(batch * tokens * heads * size, 8 * kThreads, 4096), {kThreads}, kCountScratch,
                stream);
}

}  // namespace demi::gpu_kernels
