#include "ops/memory_efficient_attention/attention_exact.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/boundary/crossing.h"

namespace demi {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

Tensor as_crossed(const Tensor& x, Cast cast) {
    if (!x.defined()) return x;
    cast.count = false;
    CastCounters none;
    return cast_tensor(x, cast, DType::f32, none).to(DType::f64);
}

// Puts a finite number in place of one that is not.
void mend(float& x, double exact) {
    const auto y = static_cast<float>(exact);
    if (!std::isfinite(x) && std::isfinite(y)) x = y;
}

bool all_finite_row(const double* x, int64_t n) {
    return std::all_of(x, x + n, [](double y) { return std::isfinite(y); });
}

const AttentionExactRows& rows_of(const AttentionExact& self) {
    return static_cast<const AttentionExactRows&>(self);
}

}  // namespace

AttentionExactRows::AttentionExactRows(const AttentionArguments& args, const AttentionIncoming* in)
    : AttentionExact{[](const AttentionExact& self, const AttentionPlace& query, float* row, float* lse) {
                         rows_of(self).result(query, row, lse);
                     },
                     [](const AttentionExact& self, const AttentionPlace& query, int64_t first, int64_t count,
                        float* weights,
                        float* grads) { rows_of(self).weights(query, first, count, weights, grads); },
                     [](const AttentionExact& self, char operand, const AttentionPlace& at, float* row) {
                         rows_of(self).gradient(operand, at, row);
                     },
                     [](const AttentionExact& self, const AttentionPlace& query, int64_t first, int64_t count,
                        float* row) { rows_of(self).bias_gradient(query, first, count, row); }},
      args_(args), in_(in) {}

const AttentionExactRows::Operands& AttentionExactRows::operands() const {
    std::call_once(once_, [&] {
        AttentionArguments wide = args_;
        wide.q = as_crossed(args_.q, args_.cast_q);
        wide.k = as_crossed(args_.k, args_.cast_k);
        wide.v = as_crossed(args_.v, args_.cast_v);
        wide.bias = as_crossed(args_.bias, args_.cast_bias);
        operands_.emplace(wide);
        if (in_ == nullptr) return;
        operands_->grad_out = as_crossed(in_->grad_out, in_->cast_grad_out);
        if (in_->grad_lse.defined()) operands_->grad_lse = in_->grad_lse.to(DType::f64);
    });
    return *operands_;
}

AttentionRow AttentionExactRows::row_of(const AttentionPlace& at) const {
    return attention_row(args_.segments[static_cast<size_t>(at.segment)], at.batch, at.head, at.row);
}

// Whether a key of the query has a bias other than -infinity: asked of the bias as it lies, since masks make
// many rows that have none.
bool AttentionExactRows::sees_a_number(const AttentionPlace& query) const {
    const AttentionRow r = row_of(query);
    if (!args_.bias.defined() || r.count() == 0) return r.count() > 0;
    const Tensor& bias = args_.bias;
    const auto own = [&](int d, int64_t i) { return bias.size(d) == 1 ? 0 : i; };
    Tensor row = bias.select(0, own(0, r.batch)).select(0, own(1, r.head)).select(0, own(2, r.query));
    if (bias.size(3) != 1) row = row.slice(0, r.begin, r.end);
    const Tensor x = as_crossed(row, args_.cast_bias);
    const double* first = x.data<double>();
    return std::any_of(first, first + x.numel(), [](double b) { return !(std::isinf(b) && b < 0); });
}

void AttentionExactRows::result(const AttentionPlace& query, float* row, float* lse) const {
    if (lse != nullptr && !sees_a_number(query)) return;
    const AttentionInF64& p = operands().rows;
    const AttentionRow r = row_of(query);
    AttentionRowF64 x;
    if (!p.weigh(r, x)) return;
    std::vector<double> y(static_cast<size_t>(p.value_size));
    for (int64_t j = r.begin; j < r.end; ++j) {
        const auto at = static_cast<size_t>(j - r.begin);
        add_f64(y.data(), x.weights[at] * static_cast<double>(x.kept[at]), p.v.at(r.batch, j, r.head),
                p.value_size);
    }
    for (size_t c = 0; c < y.size(); ++c) {
        if (lse != nullptr)
            row[c] = static_cast<float>(y[c]);
        else
            mend(row[c], y[c]);
    }
    // -infinity would say that the query sees nothing
    if (lse != nullptr) *lse = std::clamp(static_cast<float>(x.lse), -kLargest, kLargest);
}

bool AttentionExactRows::differentiate(const AttentionRow& r, AttentionRowF64& x) const {
    const Operands& o = operands();
    const double* g = rows_f64(o.grad_out).at(r.batch, r.query, r.head);
    const int64_t index = (r.batch * o.rows.heads + r.head) * o.rows.queries + r.query;
    const double grad_lse = o.grad_lse.defined()
                                ? o.grad_lse.data<double>()[index] * static_cast<double>(in_->grad_lse_scale)
                                : 0;
    if (std::isinf(in_->lse.data<float>()[index])) return false;  // saw nothing
    return o.rows.differentiate(r, g, grad_lse, x);
}

void AttentionExactRows::weights(const AttentionPlace& query, int64_t first, int64_t count, float* weights,
                                 float* grads) const {
    const AttentionRow r = row_of(query);
    AttentionRowF64 x;
    if (!differentiate(r, x)) return;
    const int64_t start = args_.segments[static_cast<size_t>(query.segment)].k_begin + first;
    for (int64_t j = std::max(r.begin, start); j < std::min(r.end, start + count); ++j) {
        const auto at = static_cast<size_t>(j - r.begin);
        weights[j - start] = static_cast<float>(x.weights[at] * static_cast<double>(x.kept[at]));
        grads[j - start] = static_cast<float>(x.grads[at]);
    }
}

// The gradients of a whole (segment, batch, head), where its operands are finite.
bool AttentionExactRows::sweep(const AttentionPlace& at) const {
    const Operands& o = operands();
    const AttentionInF64& p = o.rows;
    const int64_t id = (at.segment * p.batch + at.batch) * p.heads + at.head;
    if (swept_.count(id) > 0 || kept_.count(id) > 0) return swept_.count(id) > 0;
    const AttentionSegment& s = args_.segments[static_cast<size_t>(at.segment)];
    const RowsF64<const double> g = rows_f64(o.grad_out);
    bool finite = true;
    for (int64_t i = s.q_begin; finite && i < s.q_end; ++i)
        finite = all_finite_row(p.q.at(at.batch, i, at.head), p.head_size) &&
                 all_finite_row(g.at(at.batch, i, at.head), p.value_size);
    for (int64_t j = s.k_begin; finite && j < s.k_end; ++j)
        finite = all_finite_row(p.k.at(at.batch, j, at.head), p.head_size) &&
                 all_finite_row(p.v.at(at.batch, j, at.head), p.value_size);
    (finite ? swept_ : kept_).insert(id);
    if (!finite) return false;
    if (!grad_q_.defined()) {
        grad_q_ = Tensor::zeros(o.args.q.shape(), DType::f64);
        grad_k_ = Tensor::zeros(o.args.k.shape(), DType::f64);
        grad_v_ = Tensor::zeros(o.args.v.shape(), DType::f64);
    }
    const auto dq = writable_rows_f64(grad_q_), dk = writable_rows_f64(grad_k_),
               dv = writable_rows_f64(grad_v_);
    for (int64_t i = 0; i < s.q_end - s.q_begin; ++i) {
        const AttentionRow r = attention_row(s, at.batch, at.head, i);
        AttentionRowF64 x;
        if (!differentiate(r, x)) continue;
        for (int64_t j = r.begin; j < r.end; ++j) {
            const auto n = static_cast<size_t>(j - r.begin);
            const double ds = x.grads[n] * args_.scale,
                         weight = x.weights[n] * static_cast<double>(x.kept[n]);
            add_f64(dq.at(r.batch, r.query, r.head), ds, p.k.at(r.batch, j, r.head), p.head_size);
            add_f64(dk.at(r.batch, j, r.head), ds, p.q.at(r.batch, r.query, r.head), p.head_size);
            add_f64(dv.at(r.batch, j, r.head), weight, g.at(r.batch, r.query, r.head), p.value_size);
        }
    }
    return true;
}

void AttentionExactRows::gradient(char operand, const AttentionPlace& at, float* row) const {
    const std::lock_guard lock(mutex_);
    if (!sweep(at)) return;
    const AttentionSegment& s = args_.segments[static_cast<size_t>(at.segment)];
    const Tensor& grad = operand == 'q' ? grad_q_ : operand == 'k' ? grad_k_ : grad_v_;
    const double* exact =
        rows_f64(grad).at(at.batch, (operand == 'q' ? s.q_begin : s.k_begin) + at.row, at.head);
    for (int64_t c = 0; c < grad.size(3); ++c) mend(row[c], exact[c]);
}

void AttentionExactRows::bias_gradient(const AttentionPlace& query, int64_t first, int64_t count,
                                       float* row) const {
    const AttentionInF64& p = operands().rows;
    const AttentionSegment& s = args_.segments[static_cast<size_t>(query.segment)];
    const Tensor& bias = args_.bias;
    const bool every_query = bias.size(2) != p.queries, one_number = bias.size(3) != p.keys;
    std::vector<double> sum(static_cast<size_t>(count));
    for (int64_t b = bias.size(0) == 1 ? 0 : query.batch; b < (bias.size(0) == 1 ? p.batch : query.batch + 1);
         ++b)
        for (int64_t h = bias.size(1) == 1 ? 0 : query.head;
             h < (bias.size(1) == 1 ? p.heads : query.head + 1); ++h)
            for (int64_t i = every_query ? 0 : query.row;
                 i < (every_query ? s.q_end - s.q_begin : query.row + 1); ++i) {
                const AttentionRow r = attention_row(s, b, h, i);
                AttentionRowF64 x;
                if (!differentiate(r, x)) continue;
                for (int64_t j = r.begin; j < r.end; ++j) {
                    const int64_t at = one_number ? 0 : j - s.k_begin - first;
                    if (at >= 0 && at < count)
                        sum[static_cast<size_t>(at)] += x.grads[static_cast<size_t>(j - r.begin)];
                }
            }
    for (int64_t j = 0; j < count; ++j) mend(row[j], sum[static_cast<size_t>(j)]);
}

}  // namespace demi
