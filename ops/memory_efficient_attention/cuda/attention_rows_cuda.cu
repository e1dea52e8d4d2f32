// Attention without tensor cores: one warp for one query or key. Right for every size, dtype and mask.
#include "ops/memory_efficient_attention/cuda/attention_access_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kColumns = 4;  // of a result, per lane; more of them are further passes
constexpr int64_t kMostBlocks = 1 << 20;

// One query, or one key, of one batch and head.
struct Row {
    int64_t batch, head, token;
    DEMI_DEVICE Row(const AttentionCall& call, int64_t tokens, int64_t index)
        : batch(index / tokens / call.heads), head(index / tokens % call.heads), token(index % tokens) {}
};

// What the kernels that go through the keys of a query have in common.
template <class C, class Call> struct Query {
    const Call& call;
    const AttentionSegment& segment;
    int64_t index, q, bias;  // of the row, of its first element, of its bias
    int64_t batch, head, token;
    Range keys;

    DEMI_DEVICE Query(const Call& c, const Row& row)
        : call(c), segment(segment_of<false>(c, row.token)),
          index(query_index(c, row.batch, row.head, row.token)),
          q(row_offset(c.q, row.batch, row.head, row.token)),
          bias(bias_offset(c, row.batch, row.head, row.token)), batch(row.batch), head(row.head),
          token(row.token), keys(keys_of_query(segment, row.token - segment.q_begin)) {}

    DEMI_DEVICE int64_t key_token(int64_t key) const { return segment.k_begin + key; }
    // In powers of two.
    DEMI_DEVICE C score(int64_t key) const {
        const int64_t k = row_offset(call.k, batch, head, key_token(key));
        C sum = 0;
        for (int64_t c = 0; c < call.head_size; ++c)
            sum = gpu::fma(element<C>(call.q, q + c), element<C>(call.k, k + c), sum);
        sum *= static_cast<C>(call.scale_f64 * kLog2E);
        return call.bias.data != nullptr ? sum + bias_at<C>(call, bias, key_token(key)) : sum;
    }
    DEMI_DEVICE C dropout(int64_t key) const {
        if (!has_dropout(call)) return 1;
        return is_kept(call, index, key_token(key)) ? kept_factor<C>(call) : C(0);
    }
    DEMI_DEVICE C grad_weight(int64_t key) const {
        const int64_t v = row_offset(call.v, batch, head, key_token(key));
        const int64_t g = row_offset(call.grad_out, batch, head, token);
        C sum = 0;
        for (int64_t c = 0; c < call.value_size; ++c)
            sum = gpu::fma(element<C>(call.grad_out, g + c), element<C>(call.v, v + c), sum);
        return sum;
    }
    DEMI_DEVICE C lse() const { return lse_of<C>(call)[index]; }
    DEMI_DEVICE bool saw_nothing() const { return is_minus_infinity(lse()); }
    DEMI_DEVICE C weight(int64_t key) const {
        return gpu::exp2(score(key) - static_cast<C>(static_cast<double>(lse()) * kLog2E));
    }
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
    AttentionForward call;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t rows = call.batch * call.heads * call.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(call, call.queries, i);
            for (int64_t column = 0; column < call.value_size; column += 32 * kColumns)
                run(Query<C, AttentionForward>(call, row), column, lost);
        }
        if (call.out.lost != nullptr)
            add_counts(lost, gpu::shared<uint32_t>() + kThreads * sizeof(C) / sizeof(uint32_t),
                       call.out.lost);
    }

    DEMI_DEVICE void run(const Query<C, AttentionForward>& query, int64_t first_column,
                         LaneCount& lost) const {
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
            add_rows(acc, weights, 0xffffffffu, static_cast<int>(least(32, query.keys.end - first)), call.v,
                     row_offset(call.v, query.batch, query.head, query.key_token(first)), column,
                     call.value_size);
        }
        const C factor = sum == 0 ? C(0) : sum == sum ? 1 / sum : C(1);
        const int64_t out = row_offset(call.out, query.batch, query.head, query.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < call.value_size)
                put(call.out, out + column + 32 * i, sum == 0 ? C(0) : acc[i] * factor, lost);
        if (first_column == 0 && gpu::lane() == 0)
            static_cast<C*>(call.lse.data)[query.index] =
                sum == 0
                    ? minus_infinity
                    : static_cast<C>(static_cast<double>(top) * kLn2 + gpu::log(static_cast<double>(sum)));
    }
};

template <class C> using BackwardQuery = Query<C, AttentionBackward>;

// dot = sum of weights times their gradients, less the log-sum-exp's gradient.
template <class C> struct DotKernel {
    static constexpr int threads = kThreads;
    AttentionBackward call;
    C* dot;

    DEMI_DEVICE void operator()() const {
        const int64_t rows = call.batch * call.heads * call.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const BackwardQuery<C> query(call, Row(call, call.queries, i));
            C sum = 0;
            if (!query.saw_nothing())
                for (int64_t key = query.keys.begin + gpu::lane(); key < query.keys.end; key += 32)
                    sum = gpu::fma(query.weight(key), query.grad_weight(key) * query.dropout(key), sum);
            sum = gpu::warp_sum(sum);
            if (gpu::lane() != 0) continue;
            dot[query.index] = sum - grad_lse_at<C>(call, query.index);
        }
    }
};

template <class C> struct GradQueriesKernel {
    static constexpr int threads = kThreads;
    AttentionBackward call;
    const C* dot;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t rows = call.batch * call.heads * call.queries;
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(call, call.queries, i);
            for (int64_t column = gpu::lane(); column < call.head_size + gpu::lane(); column += 32 * kColumns)
                run(BackwardQuery<C>(call, row), column, lost);
        }
        if (call.grad_q.lost != nullptr)
            add_counts(lost, gpu::shared<uint32_t>() + kThreads * sizeof(C) / sizeof(uint32_t),
                       call.grad_q.lost);
    }

    DEMI_DEVICE void run(const BackwardQuery<C>& query, int64_t column, LaneCount& lost) const {
        C* grads = gpu::shared<C>() + 32 * gpu::warp();
        C acc[kColumns] = {};
        const Range keys = query.saw_nothing() ? Range{0, 0} : query.keys;
        for (int64_t first = keys.begin; first < keys.end; first += 32) {
            const int64_t key = first + gpu::lane();
            C grad = 0;
            if (key < keys.end)
                grad = query.weight(key) * (query.grad_weight(key) * query.dropout(key) - dot[query.index]);
            gpu::sync_warp();
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            add_rows(acc, grads, 0xffffffffu, static_cast<int>(least(32, keys.end - first)), call.k,
                     row_offset(call.k, query.batch, query.head, query.key_token(first)), column,
                     call.head_size);
        }
        const int64_t out = row_offset(call.grad_q, query.batch, query.head, query.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < call.head_size)
                put(call.grad_q, out + column + 32 * i, acc[i] * static_cast<C>(call.scale_f64), lost);
    }
};

template <class C> struct GradKeysKernel {
    static constexpr int threads = kThreads;
    AttentionBackward call;
    const C* dot;

    DEMI_DEVICE void operator()() const {
        LaneCount lost_k, lost_v;
        const int64_t rows = call.batch * call.heads * call.keys,
                      size = most(call.head_size, call.value_size);
        for (int64_t i = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); i < rows;
             i += gpu::grid_dim().x * int64_t{kWarps}) {
            const Row row(call, call.keys, i);
            for (int64_t column = gpu::lane(); column < size + gpu::lane(); column += 32 * kColumns)
                run(row, column, lost_k, lost_v);
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 2 * kThreads * sizeof(C) / sizeof(uint32_t);
        if (call.grad_k.lost != nullptr) add_counts(lost_k, scratch, call.grad_k.lost);
        if (call.grad_v.lost != nullptr) add_counts(lost_v, scratch, call.grad_v.lost);
    }

    DEMI_DEVICE void run(const Row& row, int64_t column, LaneCount& lost_k, LaneCount& lost_v) const {
        C* weights = gpu::shared<C>() + 64 * gpu::warp();
        C* grads = weights + 32;
        const AttentionSegment& segment = segment_of<true>(call, row.token);
        const int64_t key = row.token - segment.k_begin;
        const Range queries = queries_of_key(segment, key);
        C for_k[kColumns] = {}, for_v[kColumns] = {};
        for (int64_t first = queries.begin; first < queries.end; first += 32) {
            const int64_t token = segment.q_begin + first + gpu::lane();
            C weight = 0, grad = 0;
            bool sees = token < segment.q_begin + queries.end;
            if (sees) {
                const BackwardQuery<C> query(
                    call, Row(call, call.queries, query_index(call, row.batch, row.head, token)));
                sees = !query.saw_nothing();
                if (sees) {
                    const C kept = query.dropout(key);
                    weight = query.weight(key);
                    grad = weight * (query.grad_weight(key) * kept - dot[query.index]);
                    weight *= kept;
                }
            }
            const uint32_t taken = gpu::ballot(sees);
            weights[gpu::lane()] = weight;
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            const int n = static_cast<int>(least(32, queries.end - first));
            add_rows(for_v, weights, taken, n, call.grad_out,
                     row_offset(call.grad_out, row.batch, row.head, segment.q_begin + first), column,
                     call.value_size);
            add_rows(for_k, grads, taken, n, call.q,
                     row_offset(call.q, row.batch, row.head, segment.q_begin + first), column,
                     call.head_size);
            gpu::sync_warp();
        }
        const int64_t dk = row_offset(call.grad_k, row.batch, row.head, row.token);
        const int64_t dv = row_offset(call.grad_v, row.batch, row.head, row.token);
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i) {
            const int64_t c = column + 32 * i;
            if (call.grad_k.data != nullptr && c < call.head_size)
                put(call.grad_k, dk + c, for_k[i] * static_cast<C>(call.scale_f64), lost_k);
            if (call.grad_v.data != nullptr && c < call.value_size)
                put(call.grad_v, dv + c, for_v[i], lost_v);
        }
    }
};

// One thread for each element of the bias; where it is stretched, it adds batches, heads,
// queries and keys in their order.
template <class C> struct GradBiasKernel {
    static constexpr int threads = kThreads;
    AttentionBackward call;
    const C* dot;

    // What a dimension of the bias has, and what an element of it stands for.
    static DEMI_HOST_DEVICE int64_t own(bool sum, int64_t size) { return sum ? 1 : size; }
    static DEMI_DEVICE Range stretched(bool sum, int64_t at, int64_t size) {
        return sum ? Range{0, size} : Range{at, at + 1};
    }

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const AttentionBackward& p = call;
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
                        sum += of_query(BackwardQuery<C>(call, Row(call, p.queries,
                                                                   query_index(call, batch, head, token))),
                                        k);
            put(call.grad_bias, i, sum, lost);
        }
        if (call.grad_bias.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>(), call.grad_bias.lost);
    }

    DEMI_DEVICE C of_query(const BackwardQuery<C>& query, Range key_tokens) const {
        const int64_t first = query.segment.k_begin;
        const int64_t begin = most(query.keys.begin, key_tokens.begin - first),
                      end = least(query.keys.end, key_tokens.end - first);
        C sum = 0;
        if (begin >= end || query.saw_nothing()) return sum;
        for (int64_t key = begin; key < end; ++key)
            sum += query.weight(key) * (query.grad_weight(key) * query.dropout(key) - dot[query.index]);
        return sum;
    }
};

// Counts the casts of an operand [batch, tokens, heads, size].
struct CountKernel {
    static constexpr int threads = kThreads;
    AttentionOperand x;
    int64_t batch, tokens, heads, size;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t count = batch * tokens * heads * size;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const int64_t row = i / size, head = row % heads, token = row / heads % tokens;
            const int64_t at = row_offset(x, row / heads / tokens, head, token) + i % size;
            lost.add(load_one(x.data, at, x.dtype) * x.cast.scale);
        }
        add_counts(lost, gpu::shared<uint32_t>(), x.lost);
    }
};
void count(const AttentionOperand& x, int64_t batch, int64_t tokens, int64_t heads, int64_t size,
           Queue queue) {
    if (x.lost == nullptr) return;
    gpu::launch(CountKernel{x, batch, tokens, heads, size},
                gpu::blocks_for(batch * tokens * heads * size, 8 * kThreads, 4096), {kThreads}, kCountScratch,
                queue.stream);
}

// arrays: numbers in the block's shared memory for each thread.
template <class C, class Kernel>
void launch_rows(const Kernel& kernel, int64_t rows, int arrays, Queue queue) {
    gpu::launch(kernel, gpu::blocks_for(rows, kWarps, kMostBlocks), {kThreads},
                static_cast<size_t>(arrays * kThreads) * sizeof(C) + kCountScratch, queue.stream);
}

template <class C> void backward_of(const AttentionBackward& c, C* dot, Queue queue) {
    const int64_t pairs = c.batch * c.heads;
    launch_rows<C>(DotKernel<C>{c, dot}, pairs * c.queries, 0, queue);
    if (c.grad_q.data != nullptr) launch_rows<C>(GradQueriesKernel<C>{c, dot}, pairs * c.queries, 1, queue);
    if (c.grad_k.data != nullptr || c.grad_v.data != nullptr)
        launch_rows<C>(GradKeysKernel<C>{c, dot}, pairs * c.keys, 2, queue);
}

template <class C> void bias_backward_of(const AttentionBackward& c, const C* dot, Queue queue) {
    const auto own = GradBiasKernel<C>::own;
    const int64_t elements = own(c.bias.sum_batch, c.batch) * own(c.bias.sum_head, c.heads) *
                             own(c.bias.sum_query, c.queries) * own(c.bias.sum_key, c.keys);
    gpu::launch(GradBiasKernel<C>{c, dot}, gpu::blocks_for(elements, kThreads, kMostBlocks), {kThreads},
                kCountScratch, queue.stream);
}

}  // namespace

void count_bias(const AttentionForward& c, Queue queue) {
    const AttentionBiasOperand& bias = c.bias;
    count(bias, bias.sum_batch ? 1 : c.batch, bias.sum_query ? 1 : c.queries, bias.sum_head ? 1 : c.heads,
          bias.sum_key ? 1 : c.keys, queue);
}

void forward_by_rows(const AttentionForward& c, Queue queue) {
    count(c.q, c.batch, c.queries, c.heads, c.head_size, queue);
    count(c.k, c.batch, c.keys, c.heads, c.head_size, queue);
    count(c.v, c.batch, c.keys, c.heads, c.value_size, queue);
    const int64_t rows = c.batch * c.heads * c.queries;
    if (c.q.dtype == DType::f64)
        launch_rows<double>(ForwardKernel<double>{c}, rows, 1, queue);
    else
        launch_rows<float>(ForwardKernel<float>{c}, rows, 1, queue);
}

void backward_by_rows(const AttentionBackward& c, void* dot, Queue queue) {
    if (wants_rows(c)) count(c.grad_out, c.batch, c.queries, c.heads, c.value_size, queue);
    if (c.q.dtype == DType::f64)
        backward_of(c, static_cast<double*>(dot), queue);
    else
        backward_of(c, static_cast<float*>(dot), queue);
}

void bias_backward(const AttentionBackward& c, const void* dot, Queue queue) {
    if (c.q.dtype == DType::f64)
        bias_backward_of(c, static_cast<const double*>(dot), queue);
    else
        bias_backward_of(c, static_cast<const float*>(dot), queue);
}

}  // namespace demi::gpu_kernels
