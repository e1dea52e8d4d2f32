#include "ops/memory_efficient_attention/cpu/attention_f64.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

constexpr float kLargest = __FLT_MAX__;

// Puts a finite number in place of one that is not.
DEMI_INLINE void mend(float& x, double exact) {
    const auto y = static_cast<float>(exact);
    if (!__builtin_isfinite(x) && __builtin_isfinite(y)) x = y;
}

DEMI_INLINE bool all_finite(const double* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
        if (!__builtin_isfinite(x[i])) return false;
    return true;
}

}  // namespace

Exact::~Exact() {
    delete row_;
    delete swept_;
}

RowF64& Exact::row(const Place& at) {
    if (row_ == nullptr) row_ = new RowF64(c_, at.keys());
    return *row_;
}

void Exact::result(const Place& at, int64_t query, float* to, float* lse) {
    const Seen r = keys_of_query(at, query);
    if (lse != nullptr && r.count() == 0) return;
    RowF64& x = row(at);
    if (lse != nullptr && !x.sees_a_number(r)) return;
    const Scratch memory(static_cast<size_t>(c_.value_size) * sizeof(double), {});
    double* y = memory.as<double>();
    if (!x.attend(r, y)) return;
    for (int64_t c = 0; c < c_.value_size; ++c) {
        if (lse != nullptr)
            to[c] = static_cast<float>(y[c]);
        else
            mend(to[c], y[c]);
    }
    if (lse == nullptr) return;
    // -infinity would say that the query sees nothing
    const auto log = static_cast<float>(x.lse);
    *lse = log < -kLargest ? -kLargest : log > kLargest ? kLargest : log;
}

bool Exact::differentiate(const Place& at, const Seen& r) {
    const int64_t index = r.lse_index(c_);
    if (__builtin_isinf(elements<float>(b_->lse)[index])) return false;  // saw nothing
    const float* grad_lse = elements<float>(b_->grad_lse);
    const double grad_log =
        grad_lse != nullptr ? static_cast<double>(grad_lse[index]) * static_cast<double>(b_->grad_lse_scale)
                            : 0;
    return row(at).differentiate(r, b_->grad_out, grad_log);
}

void Exact::weights(const Place& at, int64_t query, int64_t first, int64_t count, float* weights,
                    float* grads) {
    const Seen r = keys_of_query(at, query);
    if (!differentiate(at, r)) return;
    const int64_t start = at.segment->k_begin + first;
    for (int64_t j = max64(r.begin, start); j < min64(r.end, start + count); ++j) {
        const int64_t i = j - r.begin;
        weights[j - start] = static_cast<float>(row_->weights[i] * row_->kept[i]);
        grads[j - start] = static_cast<float>(row_->grads[i]);
    }
}

// The gradients of a whole (segment, batch, head), where its operands are finite: those of q, k and v, one
// behind the other.
bool Exact::sweep(const Place& at) {
    if (swept_ != nullptr) return finite_;
    const AttentionSegment& s = *at.segment;
    const int64_t queries = at.queries(), keys = at.keys(), size = c_.head_size, value_size = c_.value_size;
    const int64_t all = (queries + keys) * size + keys * value_size;
    RowF64& x = row(at);
    swept_ = new Scratch(static_cast<size_t>(all) * sizeof(double), {});
    double *dq = swept_->as<double>(), *dk = dq + queries * size, *dv = dk + keys * size;
    zero_f64(dq, all);
    finite_ = true;
    const Seen here{at.batch, at.head, 0, 0, 0};
    for (int64_t i = s.q_begin; finite_ && i < s.q_end; ++i)
        finite_ = all_finite(x.row(c_.q, here, i, size), size) &&
                  all_finite(x.row(b_->grad_out, here, i, value_size), value_size);
    for (int64_t j = s.k_begin; finite_ && j < s.k_end; ++j)
        finite_ = all_finite(x.row(c_.k, here, j, size), size) &&
                  all_finite(x.row(c_.v, here, j, value_size), value_size);
    for (int64_t i = 0; finite_ && i < queries; ++i) {
        const Seen r = keys_of_query(at, i);
        const int64_t key = r.begin - s.k_begin;
        if (differentiate(at, r))
            x.add_gradients(r, b_->grad_out, dq + i * size, dk + key * size, size, dv + key * value_size,
                            value_size);
    }
    return finite_;
}

void Exact::gradient(char operand, const Place& at, int64_t row, float* to) {
    if (!sweep(at)) return;
    const int64_t size = operand == 'v' ? c_.value_size : c_.head_size;
    const double* exact = swept_->as<double>() + row * size;
    if (operand != 'q') exact += at.queries() * c_.head_size;
    if (operand == 'v') exact += at.keys() * c_.head_size;
    for (int64_t c = 0; c < size; ++c) mend(to[c], exact[c]);
}

void Exact::bias_gradient(const Place& at, int64_t query, int64_t first, int64_t count, float* to) {
    const AttentionBiasOperand& bias = c_.bias;
    const Scratch memory(static_cast<size_t>(count) * sizeof(double), {});
    double* sum = memory.as<double>();
    zero_f64(sum, count);
    const int64_t batches = bias.sum_batch ? c_.batch : 1, heads = bias.sum_head ? c_.heads : 1;
    const int64_t begin = bias.sum_query ? 0 : query, end = bias.sum_query ? at.queries() : query + 1;
    for (int64_t pair = 0; pair < batches * heads; ++pair) {
        const Place there{at.segment, bias.sum_batch ? pair / heads : at.batch,
                          bias.sum_head ? pair % heads : at.head};
        for (int64_t i = begin; i < end; ++i) {
            const Seen r = keys_of_query(there, i);
            if (!differentiate(there, r)) continue;
            for (int64_t j = r.begin; j < r.end; ++j) {
                const int64_t column = bias.sum_key ? 0 : j - at.segment->k_begin - first;
                if (column >= 0 && column < count) sum[column] += row_->grads[j - r.begin];
            }
        }
    }
    for (int64_t j = 0; j < count; ++j) mend(to[j], sum[j]);
}

}  // namespace demi::DEMI_BACKEND::attention
