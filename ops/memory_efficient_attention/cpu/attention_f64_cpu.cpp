#include "ops/memory_efficient_attention/cpu/attention_f64.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

constexpr double kMinusInfinity = -__builtin_inf();

// A row of an f64 result; null where that is not wanted.
template <class At> DEMI_INLINE double* row_of(const AttentionResult& x, const At& at, int64_t token) {
    return static_cast<double*>(rows_of(x, at, token).data);
}

// Calls fn(row, seen) for all queries; (batch, head) pairs run at once unless asked not to.
template <class F> void for_all_queries(const AttentionCall& c, bool at_once, const F& fn) {
    int64_t longest = 0;
    for (int64_t s = 0; s < c.segment_count; ++s) longest = max64(longest, c.segments[s].keys());
    const auto pair = [&](int64_t i) {
        RowF64 row(c, longest);
        for (int64_t s = 0; s < c.segment_count; ++s) {
            const Place at{&c.segments[s], i / c.heads, i % c.heads};
            for (int64_t query = 0; query < at.queries(); ++query) fn(row, keys_of_query(at, query));
        }
    };
    if (at_once) return parallel_for(c.batch * c.heads, pair);
    for (int64_t i = 0; i < c.batch * c.heads; ++i) pair(i);
}

void clear(const AttentionCall& c, const AttentionResult& x, int64_t tokens, int64_t columns) {
    for (int64_t i = 0; x.data != nullptr && i < c.batch * c.heads; ++i)
        for (int64_t token = 0; token < tokens; ++token)
            zero_f64(row_of(x, Place{nullptr, i / c.heads, i % c.heads}, token), columns);
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
    const AttentionOperand in = rows_of(x, r, token);
    if (in.dtype == DType::f64) return static_cast<const double*>(in.data);
    load_rows(in, 1, columns, narrow_, round_up(columns, kLanes));
    for (int64_t i = 0; i < columns; ++i) rows_[other][i] = static_cast<double>(narrow_[i]);
    return rows_[other];
}

void RowF64::bias_row(const Seen& r, double* to) {
    const int64_t step = c_.bias.key;
    const AttentionOperand in = rows_of(c_.bias, r, r.query, r.begin * step);
    if (in.dtype == DType::f64) {
        for (int64_t j = 0; j < r.count(); ++j) to[j] = static_cast<const double*>(in.data)[j * step];
        return;
    }
    load_rows(in, 1, step != 0 ? r.count() : 1, narrow_, round_up(r.count(), kLanes));
    for (int64_t j = 0; j < r.count(); ++j) to[j] = static_cast<double>(narrow_[j * step]);
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
    const double base = top == kMinusInfinity ? 0 : top;
    for (int64_t j = 0; j < n; ++j) sum += weights[j] = __builtin_exp(scores[j] - base);
    for (int64_t j = 0; j < n; ++j) weights[j] /= sum;
    lse = sum == 0 ? kMinusInfinity : base + __builtin_log(sum);
    return __builtin_isfinite(lse);
}

bool RowF64::attend(const Seen& r, double* y) {
    const bool finite = weigh(r);
    zero_f64(y, c_.value_size);
    for (int64_t j = 0; j < r.count() && lse != kMinusInfinity; ++j)
        add_f64(y, weights[j] * kept[j], row(c_.v, r, r.begin + j, c_.value_size), c_.value_size);
    return finite;
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

void RowF64::add_gradients(const Seen& r, const AttentionOperand& grad_out, double* dq, double* dk,
                           int64_t dk_row, double* dv, int64_t dv_row) {
    const int64_t size = c_.head_size, value_size = c_.value_size;
    for (int64_t j = 0; j < r.count(); ++j) {
        const double ds = grads[j] * c_.scale_f64;
        if (dq != nullptr) add_f64(dq, ds, row(c_.k, r, r.begin + j, size), size);
        if (dk != nullptr) add_f64(dk + j * dk_row, ds, row(c_.q, r, r.query, size), size);
        if (dv != nullptr)
            add_f64(dv + j * dv_row, weights[j] * kept[j], row(grad_out, r, r.query, value_size), value_size);
    }
}

void forward_f64(const AttentionForward& c, Queue) {
    for_all_queries(c, true, [&](RowF64& x, const Seen& r) {
        x.attend(r, row_of(c.out, r, r.query));
        elements<double>(c.lse)[r.lse_index(c)] = x.lse;
    });
}

void backward_f64(const AttentionBackward& c, Queue) {
    const double *logs = elements<double>(c.lse), *grad_logs = elements<double>(c.grad_lse);
    double* grad_bias = static_cast<double*>(c.grad_bias.data);
    const int64_t keys = c.bias.sum_key ? 1 : c.keys;
    if (grad_bias != nullptr)
        zero_f64(grad_bias, (grad_bias_row(c, c.batch - 1, c.heads - 1, c.queries - 1) + 1) * keys);
    clear(c, c.grad_q, c.queries, c.head_size);
    clear(c, c.grad_k, c.keys, c.head_size);
    clear(c, c.grad_v, c.keys, c.value_size);
    for_all_queries(c, grad_bias == nullptr, [&](RowF64& x, const Seen& r) {
        const double log = logs[r.lse_index(c)];
        if (log == kMinusInfinity) return;
        const double grad_log = grad_logs != nullptr ? grad_logs[r.lse_index(c)] : 0;
        if (!(__builtin_fabs(log) >= kAttentionOddLseF64 && x.differentiate(r, c.grad_out, grad_log))) {
            x.score(r);
            const double *g = x.row(c.grad_out, r, r.query, c.value_size),
                         *out = x.row(c.out, r, r.query, c.value_size);
            const double mean = dot_f64(g, out, c.value_size) - grad_log;
            for (int64_t j = 0; j < r.count(); ++j) {
                const double* value = x.row(c.v, r, r.begin + j, c.value_size);
                x.weights[j] = __builtin_exp(x.scores[j] - log);
                x.grads[j] = x.weights[j] * (dot_f64(g, value, c.value_size) * x.kept[j] - mean);
            }
        }
        x.add_gradients(r, c.grad_out, row_of(c.grad_q, r, r.query), row_of(c.grad_k, r, r.begin),
                        c.grad_k.token, row_of(c.grad_v, r, r.begin), c.grad_v.token);
        if (grad_bias == nullptr) return;
        double* to = grad_bias + grad_bias_row(c, r.batch, r.head, r.query) * keys;
        for (int64_t j = 0; j < r.count(); ++j) to[c.bias.sum_key ? 0 : r.begin + j] += x.grads[j];
    });
}

}  // namespace demi::DEMI_BACKEND::attention
