#include "ops/memory_efficient_attention/attention_f64.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/memory_efficient_attention/attention_cpu.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// Calls fn for all rows; (batch, head) pairs run at once unless asked not to.
template <class F> void for_all_rows(const AttentionInF64& p, bool at_once, F&& fn) {
    const auto pair = [&](int64_t i) {
        for (const AttentionSegment& s : p.args.segments)
            for (int64_t query = 0; query < s.q_end - s.q_begin; ++query)
                fn(attention_row(s, i / p.heads, i % p.heads, query));
    };
    if (at_once) return parallel_for(p.batch * p.heads, pair);
    for (int64_t i = 0; i < p.batch * p.heads; ++i) pair(i);
}

}  // namespace

double dot_f64(const double* a, const double* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}
void add_f64(double* to, double factor, const double* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

RowsF64<const double> rows_f64(const Tensor& x) {
    return {x.data<double>(), x.strides()[0], x.strides()[1], x.strides()[2]};
}
RowsF64<double> writable_rows_f64(Tensor x) {
    return {x.mutable_data<double>(), x.strides()[0], x.strides()[1], x.strides()[2]};
}

AttentionRow attention_row(const AttentionSegment& s, int64_t batch, int64_t head, int64_t query) {
    const int64_t n = s.k_end - s.k_begin, begin = std::clamp<int64_t>(query + s.low, 0, n);
    return {batch, head, s.q_begin + query, s.k_begin + begin,
            s.k_begin + std::clamp<int64_t>(query + s.high, begin, n)};
}

AttentionInF64::AttentionInF64(const AttentionArguments& a)
    : args(a), batch(a.q.size(0)), queries(a.q.size(1)), heads(a.q.size(2)), keys(a.k.size(1)),
      head_size(a.q.size(3)), value_size(a.v.size(3)), q(rows_f64(a.q)), k(rows_f64(a.k)), v(rows_f64(a.v)),
      dropout_{attention_dropout_fill, a.draw.seed, a.draw.offset, a.dropout, heads, queries, keys} {}

int64_t AttentionInF64::bias_at(const Shape& strides, const AttentionRow& r, int64_t key) const {
    const int64_t at[] = {r.batch, r.head, r.query, key};
    int64_t offset = 0;
    for (int d = 0; d < 4; ++d) offset += args.bias.size(d) == 1 ? 0 : at[d] * strides[d];
    return offset;
}

void AttentionInF64::score(const AttentionRow& r, AttentionRowF64& x) const {
    x.scores.resize(static_cast<size_t>(r.count()));
    for (int64_t j = r.begin; j < r.end; ++j) {
        double& s = x.scores[static_cast<size_t>(j - r.begin)];
        s = args.scale * dot_f64(q.at(r.batch, r.query, r.head), k.at(r.batch, j, r.head), head_size);
        if (args.bias.defined()) s += args.bias.data<double>()[bias_at(args.bias.strides(), r, j)];
    }
    x.kept.assign(x.scores.size(), 1.0);
    if (args.dropout == 0) return;
    std::vector<float> factor(x.scores.size());
    dropout_.fill(dropout_, r.batch, r.head, r.query, r.begin, r.count(), factor.data());
    for (size_t i = 0; i < factor.size(); ++i) x.kept[i] = factor[i] != 0 ? 1 / (1 - args.dropout) : 0.0;
}

bool AttentionInF64::weigh(const AttentionRow& r, AttentionRowF64& x) const {
    score(r, x);
    double top = kMinusInfinity, sum = 0;
    for (const double s : x.scores) top = std::max(top, s);
    x.lse = top;
    if (!std::isfinite(top)) return false;
    x.weights.resize(x.scores.size());
    for (size_t i = 0; i < x.scores.size(); ++i) sum += x.weights[i] = std::exp(x.scores[i] - top);
    for (double& w : x.weights) w /= sum;
    x.lse = top + std::log(sum);
    return std::isfinite(x.lse);
}

bool AttentionInF64::differentiate(const AttentionRow& r, const double* grad_out, double grad_lse,
                                   AttentionRowF64& x) const {
    if (!weigh(r, x)) return false;
    x.grads.resize(x.scores.size());
    double mean = -grad_lse;
    for (int64_t j = r.begin; j < r.end; ++j) {
        const auto at = static_cast<size_t>(j - r.begin);
        x.grads[at] = dot_f64(grad_out, v.at(r.batch, j, r.head), value_size) * x.kept[at];
        mean += x.weights[at] * x.grads[at];
    }
    for (size_t i = 0; i < x.grads.size(); ++i) x.grads[i] = x.weights[i] * (x.grads[i] - mean);
    return true;
}

void attention_forward_f64(const AttentionArguments& args, Tensor out, Tensor lse) {
    const AttentionInF64 p(args);
    const RowsF64<double> to = writable_rows_f64(out);
    double* logs = lse.mutable_data<double>();
    for_all_rows(p, true, [&](const AttentionRow& r) {
        AttentionRowF64 x;
        p.score(r, x);
        double* y = to.at(r.batch, r.query, r.head);
        std::fill(y, y + p.value_size, 0.0);
        double top = kMinusInfinity;
        for (const double s : x.scores) top = std::max(top, s);
        const double base = std::isinf(top) && top < 0 ? 0 : top;
        double sum = 0;
        for (double& s : x.scores) sum += s = std::exp(s - base);
        logs[(r.batch * p.heads + r.head) * p.queries + r.query] =
            sum == 0 ? kMinusInfinity : base + std::log(sum);
        if (sum == 0) return;
        for (int64_t j = r.begin; j < r.end; ++j) {
            const auto at = static_cast<size_t>(j - r.begin);
            add_f64(y, x.scores[at] / sum * x.kept[at], p.v.at(r.batch, j, r.head), p.value_size);
        }
    });
}

void attention_backward_f64(const AttentionArguments& args, const AttentionIncoming& in,
                            const AttentionGradients& grads) {
    const AttentionInF64 p(args);
    const RowsF64<const double> out = rows_f64(in.out), grad_out = rows_f64(in.grad_out);
    const double* logs = in.lse.data<double>();
    const double* grad_logs = in.grad_lse.defined() ? in.grad_lse.data<double>() : nullptr;
    RowsF64<double> dq, dk, dv;
    const auto start = [](const Tensor& grad, RowsF64<double>& to) {
        if (!grad.defined()) return;
        fill(grad, 0);
        to = writable_rows_f64(grad);
    };
    start(grads.q, dq);
    start(grads.k, dk);
    start(grads.v, dv);
    Tensor bias_grad = grads.bias;
    if (bias_grad.defined()) fill(bias_grad, 0);
    double* dbias = bias_grad.defined() ? bias_grad.mutable_data<double>() : nullptr;
    for_all_rows(p, dbias == nullptr, [&](const AttentionRow& r) {
        const int64_t index = (r.batch * p.heads + r.head) * p.queries + r.query;
        if (std::isinf(logs[index]) && logs[index] < 0) return;
        AttentionRowF64 x;
        const double* g = grad_out.at(r.batch, r.query, r.head);
        const double* query = p.q.at(r.batch, r.query, r.head);
        const double grad_log = grad_logs != nullptr ? grad_logs[index] : 0;
        // A log-sum-exp of this size has lost the digits that tell weights apart.
        const bool exact =
            std::fabs(logs[index]) >= kAttentionOddLseF64 && p.differentiate(r, g, grad_log, x);
        if (!exact) p.score(r, x);
        const double mean = dot_f64(g, out.at(r.batch, r.query, r.head), p.value_size) - grad_log;
        for (int64_t j = r.begin; j < r.end; ++j) {
            const auto at = static_cast<size_t>(j - r.begin);
            const double weight = exact ? x.weights[at] : std::exp(x.scores[at] - logs[index]),
                         kept = x.kept[at];
            const double ds =
                exact ? x.grads[at]
                      : weight * (dot_f64(g, p.v.at(r.batch, j, r.head), p.value_size) * kept - mean);
            if (dv.data != nullptr) add_f64(dv.at(r.batch, j, r.head), weight * kept, g, p.value_size);
            if (dk.data != nullptr) add_f64(dk.at(r.batch, j, r.head), ds * args.scale, query, p.head_size);
            if (dq.data != nullptr)
                add_f64(dq.at(r.batch, r.query, r.head), ds * args.scale, p.k.at(r.batch, j, r.head),
                        p.head_size);
            if (dbias == nullptr) continue;
            dbias[p.bias_at(bias_grad.strides(), r, j)] += ds;
        }
    });
}

}  // namespace demi
