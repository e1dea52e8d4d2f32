#include "ops/memory_efficient_attention/cpu/attention_f64.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

constexpr double kMinusInfinity = -__builtin_inf();

// The row of an f64 result.
DEMI_INLINE double* row_of(const AttentionResult& x, const Seen& r, int64_t token) {
    return static_cast<double*>(x.data) + offset_of(x, r.batch, r.head, token);
}
DEMI_INLINE void fill_f64(double* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = 0;
}
DEMI_INLINE int64_t lse_index(const AttentionCall& c, const Seen& r) {
    return (r.batch * c.heads + r.head) * c.queries + r.query;
}

// Calls fn(row, seen) for all queries; (batch, head) pairs run at once unless asked not to. start(place)
// comes before the queries of each.
template <class Start, class F>
void for_all_queries(const AttentionCall& c, bool at_once, const Start& start, const F& fn) {
    int64_t longest = 0;
    for (int64_t s = 0; s < c.segment_count; ++s) longest = max64(longest, keys_of(c.segments[s]));
    const auto pair = [&](int64_t i) {
        RowF64 row(c, longest);
        for (int64_t s = 0; s < c.segment_count; ++s) {
            const Place at{&c.segments[s], i / c.heads, i % c.heads};
            start(at);
            for (int64_t query = 0; query < at.queries(); ++query) fn(row, keys_of_query(at, query));
        }
    };
    if (at_once) return parallel_for(c.batch * c.heads, pair);
    for (int64_t i = 0; i < c.batch * c.heads; ++i) pair(i);
}

}  // namespace

Seen keys_of_query(const Place& at, int64_t query) {
    const AttentionSegment& s = *at.segment;
    const int64_t n = at.keys(), begin = clamp64(query + s.low, 0, n);
    return {at.batch, at.head, s.q_begin + query, s.k_begin + begin,
            s.k_begin + clamp64(query + s.high, begin, n)};
}

RowF64::RowF64(const AttentionCall& call, int64_t most_keys)
    : c_(call), most_keys_(most_keys), most_columns_(max64(call.head_size, call.value_size)),
      memory_(
          static_cast<size_t>(5 * most_keys + 2 * most_columns_ + max64(most_keys, most_columns_) + kLanes) *
              sizeof(double),
          {}) {
    double* at = memory_.as<double>();
    double** const arrays[] = {&scores, &weights, &kept, &grads, &bias_};
    for (double** array : arrays) {
        *array = at;
        at += most_keys;
    }
    for (double*& spare : rows_) {
        spare = at;
        at += most_columns_;
    }
    narrow_ = reinterpret_cast<float*>(at);
}
RowF64::~RowF64() {}

const double* RowF64::row(const AttentionOperand& x, const Seen& r, int64_t token, int64_t columns,
                          bool other) {
    if (x.dtype == DType::f64)
        return static_cast<const double*>(x.data) + offset_of(x, r.batch, r.head, token);
    load_rows(rows_of(x, r.batch, r.head, token), 1, columns, narrow_, round_up(columns, kLanes));
    for (int64_t i = 0; i < columns; ++i) rows_[other][i] = static_cast<double>(narrow_[i]);
    return rows_[other];
}

void RowF64::bias_row(const Seen& r, double* to) {
    const AttentionBiasOperand& bias = c_.bias;
    if (bias.dtype == DType::f64) {
        const double* from =
            static_cast<const double*>(bias.data) + offset_of(bias, r.batch, r.head, r.query);
        for (int64_t j = 0; j < r.count(); ++j) to[j] = from[(r.begin + j) * bias.key];
        return;
    }
    InRows in = rows_of(bias, r.batch, r.head, r.query);
    in.data += r.begin * bias.key * element_size(bias.dtype);
    load_rows(in, 1, bias.key != 0 ? r.count() : 1, narrow_, round_up(r.count(), kLanes));
    for (int64_t j = 0; j < r.count(); ++j) to[j] = static_cast<double>(narrow_[j * bias.key]);
}

bool RowF64::sees_a_number(const Seen& r) {
    if (c_.bias.data == nullptr || r.count() == 0) return r.count() > 0;
    bias_row(r, bias_);
    for (int64_t j = 0; j < r.count(); ++j)
        if (bias_[j] != kMinusInfinity) return true;
    return false;
}

void RowF64::score(const Seen& r) {
    const int64_t n = r.count();
    const double* query = row(c_.q, r, r.query, c_.head_size);
    if (c_.bias.data != nullptr && n > 0) bias_row(r, bias_);
    for (int64_t j = 0; j < n; ++j) {
        scores[j] =
            c_.scale_f64 * dot_f64(query, row(c_.k, r, r.begin + j, c_.head_size, true), c_.head_size);
        if (c_.bias.data != nullptr) scores[j] += bias_[j];
        kept[j] = 1;
    }
    const double p = c_.dropout.probability;
    if (p == 0 || n == 0) return;
    dropout_factors(c_, r.batch, r.head, r.query, r.begin, n, narrow_);
    for (int64_t j = 0; j < n; ++j) kept[j] = narrow_[j] != 0 ? 1 / (1 - p) : 0;
}

bool RowF64::weigh(const Seen& r) {
    score(r);
    const int64_t n = r.count();
    double top = kMinusInfinity, sum = 0;
    for (int64_t j = 0; j < n; ++j) top = top < scores[j] ? scores[j] : top;
    lse = top;
    if (!__builtin_isfinite(top)) return false;
    for (int64_t j = 0; j < n; ++j) sum += weights[j] = __builtin_exp(scores[j] - top);
    for (int64_t j = 0; j < n; ++j) weights[j] /= sum;
    lse = top + __builtin_log(sum);
    return __builtin_isfinite(lse);
}

bool RowF64::differentiate(const Seen& r, const AttentionOperand& grad_out, double grad_lse) {
    if (!weigh(r)) return false;
    const double* g = row(grad_out, r, r.query, c_.value_size);
    double mean = -grad_lse;
    for (int64_t j = 0; j < r.count(); ++j) {
        const double* value = row(c_.v, r, r.begin + j, c_.value_size, true);
        grads[j] = dot_f64(g, value, c_.value_size) * kept[j];
        mean += weights[j] * grads[j];
    }
    for (int64_t j = 0; j < r.count(); ++j) grads[j] = weights[j] * (grads[j] - mean);
    return true;
}

void forward_f64(const AttentionForward& c, Queue) {
    double* logs = elements<double>(c.lse);
    const auto nothing = [](const Place&) {};
    for_all_queries(c, true, nothing, [&](RowF64& x, const Seen& r) {
        x.score(r);
        double* y = row_of(c.out, r, r.query);
        fill_f64(y, c.value_size);
        const int64_t n = r.count();
        double top = kMinusInfinity, sum = 0;
        for (int64_t j = 0; j < n; ++j) top = top < x.scores[j] ? x.scores[j] : top;
        const double base = top == kMinusInfinity ? 0 : top;
        for (int64_t j = 0; j < n; ++j) sum += x.scores[j] = __builtin_exp(x.scores[j] - base);
        logs[lse_index(c, r)] = sum == 0 ? kMinusInfinity : base + __builtin_log(sum);
        for (int64_t j = 0; j < n && sum != 0; ++j)
            add_f64(y, x.scores[j] / sum * x.kept[j], x.row(c.v, r, r.begin + j, c.value_size, true),
                    c.value_size);
    });
}

void backward_f64(const AttentionBackward& c, Queue) {
    const double *logs = elements<double>(c.lse), *grad_logs = elements<double>(c.grad_lse);
    const AttentionBiasOperand& bias = c.bias;
    double* grad_bias = static_cast<double*>(c.grad_bias.data);
    // Of the gradient of the bias, contiguous.
    const int64_t key_step = bias.sum_key ? 0 : 1, query_step = bias.sum_query ? 0
                                                                : bias.sum_key ? 1
                                                                               : c.keys;
    const int64_t head_size = (bias.sum_query ? 1 : c.queries) * (bias.sum_key ? 1 : c.keys);
    const int64_t batch_size = (bias.sum_head ? 1 : c.heads) * head_size;
    if (grad_bias != nullptr) fill_f64(grad_bias, (bias.sum_batch ? 1 : c.batch) * batch_size);

    const auto start = [&](const Place& at) {
        const AttentionSegment& s = *at.segment;
        const auto clear = [&](const AttentionResult& x, int64_t begin, int64_t end, int64_t columns) {
            for (int64_t token = begin; x.data != nullptr && token < end; ++token)
                fill_f64(row_of(x, {at.batch, at.head, 0, 0, 0}, token), columns);
        };
        clear(c.grad_q, s.q_begin, s.q_end, c.head_size);
        clear(c.grad_k, s.k_begin, s.k_end, c.head_size);
        clear(c.grad_v, s.k_begin, s.k_end, c.value_size);
    };
    for_all_queries(c, grad_bias == nullptr, start, [&](RowF64& x, const Seen& r) {
        const double log = logs[lse_index(c, r)];
        if (log == kMinusInfinity) return;
        const double *g = x.row(c.grad_out, r, r.query, c.value_size),
                     *query = x.row(c.q, r, r.query, c.head_size),
                     *out = x.row(c.out, r, r.query, c.value_size);
        const double grad_log = grad_logs != nullptr ? grad_logs[lse_index(c, r)] : 0;
        const bool exact =
            __builtin_fabs(log) >= kAttentionOddLseF64 && x.differentiate(r, c.grad_out, grad_log);
        if (!exact) x.score(r);
        const double mean = dot_f64(g, out, c.value_size) - grad_log;
        for (int64_t j = r.begin; j < r.end; ++j) {
            const int64_t at = j - r.begin;
            const double weight = exact ? x.weights[at] : __builtin_exp(x.scores[at] - log);
            const double* value = x.row(c.v, r, j, c.value_size);
            const double ds =
                exact ? x.grads[at] : weight * (dot_f64(g, value, c.value_size) * x.kept[at] - mean);
            if (c.grad_v.data != nullptr)
                add_f64(row_of(c.grad_v, r, j), weight * x.kept[at], g, c.value_size);
            if (c.grad_k.data != nullptr)
                add_f64(row_of(c.grad_k, r, j), ds * c.scale_f64, query, c.head_size);
            if (c.grad_q.data != nullptr)
                add_f64(row_of(c.grad_q, r, r.query), ds * c.scale_f64, x.row(c.k, r, j, c.head_size),
                        c.head_size);
            if (grad_bias != nullptr)
                grad_bias[(bias.sum_batch ? 0 : r.batch) * batch_size +
                          (bias.sum_head ? 0 : r.head) * head_size + r.query * query_step + j * key_step] +=
                    ds;
        }
    });
}

}  // namespace demi::DEMI_BACKEND::attention
