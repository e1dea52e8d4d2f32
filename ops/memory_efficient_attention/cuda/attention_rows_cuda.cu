// Attention without tensor cores: one warp for one query or key. Right for every size, dtype and mask.
#include "ops/kernel_cuda.h"
#include "ops/memory_efficient_attention/cuda/attention_exact_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int64_t kMostBlocks = 1 << 20;
// Of a multiprocessor: what is rarely called shall not take registers from the others.
template <class C> constexpr int kBlocks = sizeof(C) == sizeof(float) ? 7 : 3;

// fn(row) for the queries, or keys, of this warp.
template <class F> DEMI_DEVICE void for_rows(const AttentionCall& call, int64_t tokens, const F& fn) {
    for_warps<kThreads>(call.batch * call.heads * tokens, [&](int64_t i) { fn(Row(call, tokens, i)); });
}

// Shared memory behind so many numbers for each thread: see launch_rows.
template <class C> DEMI_DEVICE uint32_t* count_scratch(int arrays) {
    return reinterpret_cast<uint32_t*>(gpu::shared<C>() + arrays * kThreads);
}

// What a lane has of a row: the columns `column` + 32 i. It goes by value into what is rarely called (see
// mend_result), and stays in registers.
template <class C> struct Columns {
    int64_t column;
    C x[kColumns] = {};
    DEMI_DEVICE explicit Columns(int64_t first) : column(first) {}
    DEMI_DEVICE bool times(C factor) {  // gives whether all are finite then
        bool finite = true;
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i) {
            x[i] *= factor;
            finite &= gpu::is_finite(x[i]);
        }
        return gpu::ballot(!finite) == 0;
    }
    DEMI_DEVICE bool is_finite() { return times(1); }
    template <class F, class Set> DEMI_DEVICE void put(const F& fn, const Set& set) {
        double sums[kColumns] = {};
        fn(column, sums);
        for (int i = 0; i < kColumns; ++i) set(x[i], sums[i]);
    }
};

// To the row of a result that has `size` columns, if it is wanted.
template <class C>
DEMI_DEVICE void put_columns(const AttentionResult& to, const Row& row, int64_t size, const Columns<C>& from,
                             LaneCount& lost) {
    if (to.data == nullptr) return;
    const int64_t first = row_offset(to, row, row.token) + from.column;
    DEMI_UNROLL
    for (int i = 0; i < kColumns; ++i)
        if (from.column + 32 * i < size) put(to, first + 32 * i, from.x[i], lost);
}

// acc += weight of each key times its elements; weights: one for each of n keys, `taken` says which count.
template <class C>
DEMI_DEVICE void add_rows(Columns<C>& acc, const C* weights, uint32_t taken, int n, const AttentionOperand& x,
                          int64_t first, int64_t columns) {
    C part[kColumns] = {};  // long sums lose less in parts
    for (int j = 0; j < n; ++j) {
        if ((taken >> j & 1u) == 0) continue;
        const int64_t row = first + j * x.token;
        DEMI_UNROLL
        for (int i = 0; i < kColumns; ++i)
            if (acc.column + 32 * i < columns)
                part[i] = gpu::fma(weights[j], element<C>(x, row + acc.column + 32 * i), part[i]);
    }
    DEMI_UNROLL
    for (int i = 0; i < kColumns; ++i) acc.x[i] += part[i];
}

template <class C> struct ForwardKernel {
    static constexpr int threads = kThreads, blocks = kBlocks<C>;
    AttentionForward call;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        for_rows(call, call.queries, [&](const Row& row) {
            for (int64_t column = 0; column < call.value_size; column += 32 * kColumns)
                run(Query<C, AttentionForward>(call, row), column, lost);
        });
        add_counts(lost, count_scratch<C>(1), call.out.lost);
    }

    DEMI_DEVICE void run(const Query<C, AttentionForward>& query, int64_t first_column,
                         LaneCount& lost) const {
        const C minus_infinity = -static_cast<C>(gpu::infinity());
        C* weights = gpu::shared<C>() + 32 * gpu::warp();
        Columns<C> acc(first_column + gpu::lane());
        C top = minus_infinity, sum = 0;
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
            for (int i = 0; i < kColumns; ++i) acc.x[i] *= decay;
            add_rows(acc, weights, 0xffffffffu, static_cast<int>(least(32, query.keys.end - first)), call.v,
                     row_offset(call.v, query, query.key_token(first)), call.value_size);
        }
        const C factor = sum == 0 ? C(0) : sum == sum ? 1 / sum : C(1);
        if (first_column == 0 && gpu::lane() == 0)
            static_cast<C*>(call.lse.data)[query.index] =
                sum == 0
                    ? minus_infinity
                    : static_cast<C>(static_cast<double>(top) * kLn2 + gpu::log(static_cast<double>(sum)));
        if (sum == 0) acc = Columns<C>(acc.column);
        if (!acc.times(factor) || !(sum > 0)) acc = take_again(query, sum > 0, acc);
        put_columns(call.out, query, call.value_size, acc, lost);
    }

    DEMI_OUT_OF_LINE Columns<C> take_again(Row row, bool weighed, Columns<C> acc) const {
        mend_result(ExactQuery<C, AttentionForward>(call, row), weighed, acc);
        return acc;
    }
};

template <class C> using BackwardQuery = Query<C, AttentionBackward>;

// dot = sum of weights times their gradients, less the log-sum-exp's gradient.
template <class C> struct DotKernel {
    static constexpr int threads = kThreads, blocks = kBlocks<C>;
    AttentionBackward call;
    QuerySums<C> sums;

    DEMI_DEVICE void operator()() const {
        for_rows(call, call.queries, [&](const Row& row) {
            const BackwardQuery<C> query(call, row);
            C sum = 0;
            if (!query.saw_nothing())
                for (int64_t key = query.keys.begin + gpu::lane(); key < query.keys.end; key += 32)
                    sum = gpu::fma(query.weight(key), query.grad_weight(key) * query.dropout(key), sum);
            sum = gpu::warp_sum(sum) - grad_lse_at<C>(call, query.index);
            if (gpu::lane() == 0) sums.dot[query.index] = sum;
            if (query.saw_nothing() || (gpu::is_finite(sum) && !is_odd_lse(query.lse()))) return;
            gpu::sync_warp();
            bool whole;
            leave_sums(ExactQuery<C, AttentionBackward>(call, query), sums, whole);
        });
    }
};

template <class C> struct GradQueriesKernel {
    static constexpr int threads = kThreads, blocks = kBlocks<C>;
    AttentionBackward call;
    QuerySums<C> sums;

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        for_rows(call, call.queries, [&](const Row& row) {
            for (int64_t column = gpu::lane(); column < call.head_size + gpu::lane(); column += 32 * kColumns)
                run(BackwardQuery<C>(call, row), column, lost);
        });
        add_counts(lost, count_scratch<C>(1), call.grad_q.lost);
    }

    DEMI_DEVICE void run(const BackwardQuery<C>& query, int64_t column, LaneCount& lost) const {
        C* grads = gpu::shared<C>() + 32 * gpu::warp();
        Columns<C> acc(column);
        const bool exact = !query.saw_nothing() && is_exact(sums, query.index);
        const Range keys = exact || query.saw_nothing() ? Range{0, 0} : query.keys;
        for (int64_t first = keys.begin; first < keys.end; first += 32) {
            const int64_t key = first + gpu::lane();
            C grad = 0;
            if (key < keys.end)
                grad =
                    query.weight(key) * (query.grad_weight(key) * query.dropout(key) - sums.dot[query.index]);
            gpu::sync_warp();
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            add_rows(acc, grads, 0xffffffffu, static_cast<int>(least(32, keys.end - first)), call.k,
                     row_offset(call.k, query, query.key_token(first)), call.head_size);
        }
        if (!acc.times(static_cast<C>(call.scale_f64)) || exact) acc = take_again(query, exact, acc);
        put_columns(call.grad_q, query, call.head_size, acc, lost);
    }

    DEMI_OUT_OF_LINE Columns<C> take_again(Row row, bool whole, Columns<C> acc) const {
        const ExactQuery<C, AttentionBackward> query(call, row);
        mend_grad_query(query, whole ? sums.exact[query.index] : exact_sums(query), whole, acc);
        return acc;
    }
};

template <class C> struct GradKeysKernel {
    static constexpr int threads = kThreads, blocks = sizeof(C) == 4 ? 6 : 3;
    AttentionBackward call;
    QuerySums<C> sums;

    DEMI_DEVICE void operator()() const {
        LaneCount lost_k, lost_v;
        const int64_t size = most(call.head_size, call.value_size);
        for_rows(call, call.keys, [&](const Row& row) {
            for (int64_t column = gpu::lane(); column < size + gpu::lane(); column += 32 * kColumns)
                run(row, column, lost_k, lost_v);
        });
        add_counts(lost_k, count_scratch<C>(2), call.grad_k.lost);
        add_counts(lost_v, count_scratch<C>(2), call.grad_v.lost);
    }

    DEMI_DEVICE void run(const Row& row, int64_t column, LaneCount& lost_k, LaneCount& lost_v) const {
        C* weights = gpu::shared<C>() + 64 * gpu::warp();
        C* grads = weights + 32;
        const AttentionSegment& segment = segment_of<true>(call, row.token);
        const int64_t key = row.token - segment.k_begin;
        const Range queries = queries_of_key(segment, key);
        Columns<C> for_k(column), for_v(column);
        uint32_t left_out = 0;
        for (int64_t first = queries.begin; first < queries.end; first += 32) {
            const int64_t token = segment.q_begin + first + gpu::lane();
            C weight = 0, grad = 0;
            bool sees = token < segment.q_begin + queries.end, exact = false;
            if (sees) {
                const BackwardQuery<C> query(call, Row(row.batch, row.head, token));
                sees = !query.saw_nothing();
                exact = sees && is_exact(sums, query.index);
                sees &= !exact;
                if (sees) {
                    const C kept = query.dropout(key);
                    weight = query.weight(key);
                    grad = weight * (query.grad_weight(key) * kept - sums.dot[query.index]);
                    weight *= kept;
                }
            }
            const uint32_t taken = gpu::ballot(sees);
            left_out |= gpu::ballot(exact);
            weights[gpu::lane()] = weight;
            grads[gpu::lane()] = grad;
            gpu::sync_warp();
            const int n = static_cast<int>(least(32, queries.end - first));
            add_rows(for_v, weights, taken, n, call.grad_out,
                     row_offset(call.grad_out, row, segment.q_begin + first), call.value_size);
            add_rows(for_k, grads, taken, n, call.q, row_offset(call.q, row, segment.q_begin + first),
                     call.head_size);
            gpu::sync_warp();
        }
        if (!for_k.times(static_cast<C>(call.scale_f64)) || left_out != 0)
            for_k = take_again(row, false, left_out != 0, for_k);
        if (!for_v.times(1) || left_out != 0) for_v = take_again(row, true, left_out != 0, for_v);
        put_columns(call.grad_k, row, call.head_size, for_k, lost_k);
        put_columns(call.grad_v, row, call.value_size, for_v, lost_v);
    }

    DEMI_OUT_OF_LINE Columns<C> take_again(Row row, bool values, bool left_out, Columns<C> acc) const {
        mend_grad_key(call, sums, row, values, left_out, acc);
        return acc;
    }
};

// One thread for each element of the bias; where it is stretched, it adds batches, heads,
// queries and keys in their order.
template <class C> struct GradBiasKernel {
    static constexpr int threads = kThreads;
    AttentionBackward call;
    QuerySums<C> sums;

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
            const auto each = [&](auto&& fn) {
                for (int64_t batch = b.begin; batch < b.end; ++batch)
                    for (int64_t head = h.begin; head < h.end; ++head)
                        for (int64_t token = q.begin; token < q.end; ++token) fn(Row(batch, head, token));
            };
            C sum = 0;
            each([&](const Row& row) { sum += of_query(BackwardQuery<C>(call, row), k); });
            if (!gpu::is_finite(sum)) {
                double exact = 0;
                each([&](const Row& row) {
                    exact += exact_of_query(ExactQuery<C, AttentionBackward>(call, row), k);
                });
                mend(sum, exact);
            }
            put(call.grad_bias, i, sum, lost);
        }
        add_counts(lost, gpu::shared<uint32_t>(), call.grad_bias.lost);
    }

    // Of a query's keys, those among some.
    template <class Q> static DEMI_DEVICE Range seen(const Q& query, Range key_tokens) {
        const int64_t first = query.segment.k_begin;
        if (query.saw_nothing()) return {0, 0};
        return {most(query.keys.begin, key_tokens.begin - first),
                least(query.keys.end, key_tokens.end - first)};
    }
    DEMI_DEVICE C of_query(const BackwardQuery<C>& query, Range key_tokens) const {
        const Range keys = seen(query, key_tokens);
        C sum = 0;
        if (keys.begin < keys.end && is_exact(sums, query.index))
            return static_cast<C>(exact_of_query(ExactQuery<C, AttentionBackward>(call, query), key_tokens));
        for (int64_t key = keys.begin; key < keys.end; ++key)
            sum += query.weight(key) * (query.grad_weight(key) * query.dropout(key) - sums.dot[query.index]);
        return sum;
    }
    DEMI_DEVICE double exact_of_query(const ExactQuery<C, AttentionBackward>& query, Range key_tokens) const {
        const Range keys = seen(query, key_tokens);
        double sum = 0;
        if (keys.begin >= keys.end) return sum;
        const ExactSums s = sums_of(query, sums);
        for (int64_t key = keys.begin; key < keys.end; ++key)
            sum += exact_grad(query, s, key, exact_weight(query, s, key));
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
            const int64_t row = i / size, token = row / heads % tokens;
            const int64_t at = row_offset(x, Row(row / heads / tokens, row % heads, token), token) + i % size;
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
    if (c.q.dtype == DType::f64) return launch_rows<double>(ForwardKernel<double>{c}, rows, 1, queue);
    launch_rows<float>(ForwardKernel<float>{c}, rows, 1, queue);
}

template <class E> void backward_by_rows(const AttentionBackward& c, QuerySums<E> sums, Queue queue) {
    if (wants_rows(c)) count(c.grad_out, c.batch, c.queries, c.heads, c.value_size, queue);
    const int64_t pairs = c.batch * c.heads;
    launch_rows<E>(DotKernel<E>{c, sums}, pairs * c.queries, 0, queue);
    if (c.grad_q.data != nullptr) launch_rows<E>(GradQueriesKernel<E>{c, sums}, pairs * c.queries, 1, queue);
    if (c.grad_k.data != nullptr || c.grad_v.data != nullptr)
        launch_rows<E>(GradKeysKernel<E>{c, sums}, pairs * c.keys, 2, queue);
}
template void backward_by_rows(const AttentionBackward&, QuerySums<float>, Queue);
template void backward_by_rows(const AttentionBackward&, QuerySums<double>, Queue);

template <class E> void bias_backward(const AttentionBackward& c, QuerySums<E> sums, Queue queue) {
    const auto own = GradBiasKernel<E>::own;
    const int64_t elements = own(c.bias.sum_batch, c.batch) * own(c.bias.sum_head, c.heads) *
                             own(c.bias.sum_query, c.queries) * own(c.bias.sum_key, c.keys);
    gpu::launch(GradBiasKernel<E>{c, sums}, gpu::blocks_for(elements, kThreads, kMostBlocks), {kThreads},
                kCountScratch, queue.stream);
}
template void bias_backward(const AttentionBackward&, QuerySums<float>, Queue);
template void bias_backward(const AttentionBackward&, QuerySums<double>, Queue);

}  // namespace demi::gpu_kernels
