#pragma once
// Internal, for .cu files: one query of attention and its keys, a score at a time, for any size, dtype and
// mask; and attention in double, for where the arithmetic left its range though operands are finite: a warp
// makes a row, a lane has the columns `column` + 32 i of it. That is rarely called, never inlined into the
// kernels. What is not finite passes through as everywhere else.
#include <type_traits>

#include "ops/memory_efficient_attention/cuda/attention_access_cuda.h"

namespace demi::gpu_kernels {

// One query, or one key, of one batch and head.
struct Row {
    int64_t batch, head, token;
    DEMI_DEVICE Row(int64_t b, int64_t h, int64_t t) : batch(b), head(h), token(t) {}
    DEMI_DEVICE Row(const AttentionCall& call, int64_t tokens, int64_t index)
        : Row(index / tokens / call.heads, index / tokens % call.heads, index % tokens) {}
};

// C: the type of the arithmetic; E: double where operands are f64, else float.
template <class C, class Call, class E = C> struct Query : Row {
    const Call& call;
    const AttentionSegment& segment;
    int64_t index, q, bias;  // of the row, of its first element, of its bias
    Range keys;

    DEMI_DEVICE Query(const Call& c, const Row& row)
        : Row(row), call(c), segment(segment_of<false>(c, token)), index(query_index(c, row, token)),
          q(row_offset(c.q, row, token)), bias(row_offset(c.bias, row, token)),
          keys(keys_of_query(segment, token - segment.q_begin)) {}

    DEMI_DEVICE int64_t key_token(int64_t key) const { return segment.k_begin + key; }
    DEMI_DEVICE C product(const AttentionOperand& a, int64_t row, const AttentionOperand& b, int64_t key,
                          int64_t size) const {
        const int64_t other = row_offset(b, *this, key_token(key));
        C sum = 0;
        for (int64_t c = 0; c < size; ++c)
            sum = gpu::fma(static_cast<C>(element<E>(a, row + c)), static_cast<C>(element<E>(b, other + c)),
                           sum);
        return sum;
    }
    // In powers of two.
    DEMI_DEVICE C score(int64_t key) const {
        const C sum =
            product(call.q, q, call.k, key, call.head_size) * static_cast<C>(call.scale_f64 * kLog2E);
        return call.bias.data != nullptr ? sum + bias_at<C>(call, bias, key_token(key)) : sum;
    }
    DEMI_DEVICE C dropout(int64_t key) const {
        if (!has_dropout(call)) return 1;
        return is_kept(call, index, key_token(key)) ? kept_factor<C>(call) : C(0);
    }
    DEMI_DEVICE C grad_weight(int64_t key) const {
        return product(call.grad_out, row_offset(call.grad_out, *this, token), call.v, key, call.value_size);
    }
    DEMI_DEVICE E lse() const { return lse_of<E>(call)[index]; }
    DEMI_DEVICE bool saw_nothing() const { return is_minus_infinity(lse()); }
    DEMI_DEVICE C weight(int64_t key) const {
        return gpu::exp2(score(key) - static_cast<C>(static_cast<double>(lse()) * kLog2E));
    }
};

// ---- in double
constexpr int kColumns = 4;  // of a result, per lane; more of them are further passes

// E: double where operands are f64, else float.
template <class E, class Call> using ExactQuery = Query<double, Call, E>;

template <class E> DEMI_DEVICE bool is_odd_lse(E x) {
    constexpr E kOdd = sizeof(E) == sizeof(double) ? kAttentionOddLseF64 : kAttentionOddLse;
    return gpu::is_finite(x) && gpu::abs(x) >= kOdd;
}
DEMI_DEVICE bool is_known(const ExactSums& s) {
    return gpu::is_finite(s.top) && s.sum > 0 && gpu::is_finite(s.sum) && gpu::is_finite(s.dot);
}
// -infinity would say that the query sees nothing.
template <class E> DEMI_DEVICE E exact_lse(const ExactSums& s) {
    constexpr double kMost = sizeof(E) == sizeof(double) ? 1.7976931348623157e308 : 3.4028234663852886e38;
    const double x = s.top + gpu::log(s.sum);
    return static_cast<E>(x > kMost ? kMost : x < -kMost ? -kMost : x);
}
// A finite number in place of one that is not.
template <class E> DEMI_DEVICE void mend(E& x, double exact) {
    const E y = static_cast<E>(exact);
    if (!gpu::is_finite(x) && gpu::is_finite(y)) x = y;
}
// The same, or (whole) any in place of any.
template <class E> DEMI_DEVICE void replace(E& x, double exact, bool whole) {
    if (whole)
        x = static_cast<E>(exact);
    else
        mend(x, exact);
}

template <class E, class Call>
DEMI_DEVICE double exact_bias(const Query<double, Call, E>& query, int64_t key) {
    const AttentionBiasOperand& bias = query.call.bias;
    return element<E>(bias, query.bias + query.key_token(key) * bias.key);
}
template <class E, class Call>
DEMI_OUT_OF_LINE double exact_score(const Query<double, Call, E>& query, int64_t key) {
    const AttentionCall& call = query.call;
    const double sum = query.product(call.q, query.q, call.k, key, call.head_size) * call.scale_f64;
    return call.bias.data != nullptr ? sum + exact_bias(query, key) : sum;
}
// Whether a query has a key with a bias other than -infinity: masks make many rows without.
template <class E, class Call> DEMI_OUT_OF_LINE bool sees_a_number(const Query<double, Call, E>& query) {
    if (query.keys.begin >= query.keys.end) return false;
    bool sees = query.call.bias.data == nullptr;
    for (int64_t key = query.keys.begin + gpu::lane(); !sees && key < query.keys.end; key += 32)
        sees = !is_minus_infinity(exact_bias(query, key));
    return gpu::ballot(sees) != 0;
}

template <class Query> DEMI_DEVICE double exact_weight(const Query& query, const ExactSums& s, int64_t key) {
    return gpu::exp(exact_score(query, key) - s.top) / s.sum;
}
template <class Query>
DEMI_DEVICE double exact_grad(const Query& query, const ExactSums& s, int64_t key, double weight) {
    return weight * (query.grad_weight(key) * query.dropout(key) - s.dot);
}

template <class E, class Call> DEMI_OUT_OF_LINE ExactSums exact_sums(const Query<double, Call, E>& query) {
    const int64_t first = query.keys.begin + gpu::lane(), end = query.keys.end;
    ExactSums s{-static_cast<double>(gpu::infinity()), 0, 0};
    for (int64_t key = first; key < end; key += 32) {
        const double x = exact_score(query, key);
        s.top = x > s.top ? x : s.top;
    }
    s.top = gpu::warp_max(s.top);
    if (!gpu::is_finite(s.top)) return s;
    for (int64_t key = first; key < end; key += 32) s.sum += gpu::exp(exact_score(query, key) - s.top);
    s.sum = gpu::warp_sum(s.sum);
    if constexpr (std::is_same_v<Call, AttentionBackward>) {
        for (int64_t key = first; key < end; key += 32)
            s.dot += exact_weight(query, s, key) * (query.grad_weight(key) * query.dropout(key));
        s.dot = gpu::warp_sum(s.dot) - grad_lse_at<E>(query.call, query.index);
    }
    return s;
}

// acc += the rows from element `first` of x on, each times its factor: lane j has that of row j, `taken` says
// which count.
template <class E>
DEMI_DEVICE void exact_add_rows(double (&acc)[kColumns], double factor, uint32_t taken,
                                const AttentionOperand& x, int64_t first, int64_t column, int64_t size) {
    DEMI_ROLLED
    for (int j = 0; j < 32; ++j) {
        if ((taken >> j & 1u) == 0) continue;
        const double times = gpu::shfl(factor, j);
        DEMI_ROLLED
        for (int i = 0; i < kColumns; ++i)
            if (column + 32 * i < size)
                acc[i] += times * static_cast<double>(element<E>(x, first + j * x.token + column + 32 * i));
    }
}
// acc += the rows of the keys of a query, each times factor(key).
template <class E, class Call, class Factor>
DEMI_DEVICE void exact_add_keys(double (&acc)[kColumns], const Query<double, Call, E>& query,
                                const AttentionOperand& x, int64_t column, int64_t size,
                                const Factor& factor) {
    for (int64_t first = query.keys.begin; first < query.keys.end; first += 32) {
        const int64_t key = first + gpu::lane();
        const bool mine = key < query.keys.end;
        exact_add_rows<E>(acc, mine ? factor(key) : 0, gpu::ballot(mine), x,
                          row_offset(x, query, query.key_token(first)), column, size);
    }
}
// A query's result: what is not finite, and of one without a sum of weights all of it and the log-sum-exp.
// to: the row as a kernel has it. to.put(fn, set): fn(column, sums) adds what a lane has of it, set(element,
// sum) takes that over.
template <class E, class Numbers>
DEMI_DEVICE void mend_result(const Query<double, AttentionForward, E>& query, bool weighed, Numbers& to) {
    if (weighed ? to.is_finite() : !sees_a_number(query)) return;
    const ExactSums s = exact_sums(query);
    if (!is_known(s)) return;
    const auto weight = [&](int64_t key) { return exact_weight(query, s, key) * query.dropout(key); };
    to.put(
        [&](int64_t column, double(&acc)[kColumns]) {
            exact_add_keys(acc, query, query.call.v, column, query.call.value_size, weight);
        },
        [&](E& x, double exact) { replace(x, exact, !weighed); });
    if (!weighed && gpu::lane() == 0) static_cast<E*>(query.call.lse.data)[query.index] = exact_lse<E>(s);
}
// A query's gradient: what is not finite, or all of it.
template <class E, class Numbers>
DEMI_DEVICE void mend_grad_query(const Query<double, AttentionBackward, E>& query, const ExactSums& s,
                                 bool whole, Numbers& to) {
    if (!whole && !is_known(s)) return;
    const auto grad = [&](int64_t key) {
        return exact_grad(query, s, key, exact_weight(query, s, key)) * query.call.scale_f64;
    };
    to.put(
        [&](int64_t column, double(&acc)[kColumns]) {
            exact_add_keys(acc, query, query.call.k, column, query.call.head_size, grad);
        },
        [&](E& x, double exact) { replace(x, exact, whole); });
}

// ---- what the queries' kernels leave for those of the keys and of the bias

// Whether the sums of a query, which saw something, are exact: its weights are not to be had otherwise.
template <class E> DEMI_DEVICE bool is_exact(const QuerySums<E>& sums, int64_t index) {
    const E dot = sums.dot[index];
    return dot != dot && sums.exact[index].sum > 0;
}
template <class E>
DEMI_DEVICE ExactSums sums_of(const Query<double, AttentionBackward, E>& query, const QuerySums<E>& sums) {
    if (is_exact(sums, query.index)) return sums.exact[query.index];
    return {static_cast<double>(query.lse()), 1, static_cast<double>(sums.dot[query.index])};
}
// The exact sums of a query that saw something; whether they take the place of the others, as they do where
// the log-sum-exp is odd or the dot, which is stored, not finite.
template <class E>
DEMI_OUT_OF_LINE ExactSums leave_sums(const Query<double, AttentionBackward, E>& query,
                                      const QuerySums<E>& sums, bool& whole) {
    const ExactSums s = exact_sums(query);
    const bool odd = is_odd_lse(query.lse());
    whole = odd || (!gpu::is_finite(sums.dot[query.index]) && is_known(s));
    gpu::sync_warp();
    if (gpu::lane() == 0) {
        sums.exact[query.index] = whole ? s : ExactSums{0, 0, 0};
        if (whole) sums.dot[query.index] = static_cast<E>(gpu::bit_cast<float>(0x7fc00000u));
    }
    gpu::sync_warp();
    return s;
}

// The gradient of a key, or (values) of its value: what queries add whose sums are exact, or all.
template <class E>
DEMI_OUT_OF_LINE void exact_grad_key(const AttentionBackward& call, const QuerySums<E>& sums, const Row& row,
                                     bool values, bool all, int64_t column, double (&acc)[kColumns]) {
    const AttentionSegment& segment = segment_of<true>(call, row.token);
    const int64_t key = row.token - segment.k_begin;
    const Range queries = queries_of_key(segment, key);
    const AttentionOperand& x = values ? call.grad_out : call.q;
    for (int64_t first = queries.begin; first < queries.end; first += 32) {
        const int64_t token = segment.q_begin + first + gpu::lane();
        double factor = 0;
        bool taken = first + gpu::lane() < queries.end;
        if (taken) {
            const ExactQuery<E, AttentionBackward> query(call, Row(row.batch, row.head, token));
            taken = !query.saw_nothing() && (all || is_exact(sums, query.index));
            if (taken) {
                const ExactSums s = sums_of(query, sums);
                const double weight = exact_weight(query, s, key);
                factor =
                    values ? weight * query.dropout(key) : exact_grad(query, s, key, weight) * call.scale_f64;
            }
        }
        exact_add_rows<E>(acc, factor, gpu::ballot(taken), x, row_offset(x, row, segment.q_begin + first),
                          column, values ? call.value_size : call.head_size);
    }
}
// The same as a kernel has it: adds what was left out, if anything may be, and puts numbers in place of what
// is not finite then.
template <class E, class Numbers>
DEMI_DEVICE void mend_grad_key(const AttentionBackward& call, const QuerySums<E>& sums, const Row& row,
                               bool values, bool left_out, Numbers& to) {
    DEMI_ROLLED
    for (int all = left_out ? 0 : 1; all < 2; ++all) {
        if (all == 1 && to.is_finite()) continue;
        to.put(
            [&](int64_t column, double(&acc)[kColumns]) {
                exact_grad_key(call, sums, row, values, all == 1, column, acc);
            },
            [&](E& x, double exact) {
                if (all == 1)
                    mend(x, exact);
                else
                    x += static_cast<E>(exact);
            });
    }
}

}  // namespace demi::gpu_kernels
