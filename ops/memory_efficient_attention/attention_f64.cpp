#include "ops/memory_efficient_attention/attention_f64.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/memory_efficient_attention/attention_cpu.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

// Rows [batch, token, head, :] of a tensor.
template <class T> struct Rows {
    T* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    T* at(int64_t b, int64_t t, int64_t h) const { return data + b * batch + t * token + h * head; }
};
Rows<const double> rows(const Tensor& x) {
    return {x.data<double>(), x.strides()[0], x.strides()[1], x.strides()[2]};
}
Rows<double> writable_rows(Tensor x) {
    return {x.mutable_data<double>(), x.strides()[0], x.strides()[1], x.strides()[2]};
}

double dot(const double* a, const double* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}
void add(double* to, double factor, const double* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// One query and the keys that it sees.
struct Row {
    int64_t batch, head, query;  // query and keys as rows of the tensors
    int64_t begin, end;
    int64_t count() const { return end - begin; }
};

struct Problem {
    const AttentionArguments& args;
    int64_t batch, queries, heads, keys, head_size, value_size;
    Rows<const double> q, k, v;
    AttentionDropout dropout;

    explicit Problem(const AttentionArguments& a)
        : args(a), batch(a.q.size(0)), queries(a.q.size(1)), heads(a.q.size(2)), keys(a.k.size(1)),
          head_size(a.q.size(3)), value_size(a.v.size(3)), q(rows(a.q)), k(rows(a.k)), v(rows(a.v)),
          dropout{attention_dropout_fill, a.draw.seed, a.draw.offset, a.dropout, heads, queries, keys} {}

    // Where a score's bias lies in a [B or 1, H or 1, Mq or 1, Mk or 1] tensor of these strides.
    int64_t bias_at(const Shape& strides, const Row& r, int64_t key) const {
        const int64_t at[] = {r.batch, r.head, r.query, key};
        int64_t offset = 0;
        for (int d = 0; d < 4; ++d) offset += args.bias.size(d) == 1 ? 0 : at[d] * strides[d];
        return offset;
    }
    // Scores and dropout factors of one row.
    void score(const Row& r, std::vector<double>& s, std::vector<float>& factor) const {
        s.resize(static_cast<size_t>(r.count()));
        for (int64_t j = r.begin; j < r.end; ++j) {
            double& x = s[static_cast<size_t>(j - r.begin)];
            x = args.scale * dot(q.at(r.batch, r.query, r.head), k.at(r.batch, j, r.head), head_size);
            if (args.bias.defined()) x += args.bias.data<double>()[bias_at(args.bias.strides(), r, j)];
        }
        factor.assign(s.size(), 1.f);
        if (args.dropout > 0)
            dropout.fill(dropout, r.batch, r.head, r.query, r.begin, r.count(), factor.data());
    }
    template <class F> void for_rows(const AttentionSegment& seg, int64_t b, int64_t h, F&& fn) const {
        const int64_t n = seg.k_end - seg.k_begin;
        for (int64_t i = 0; i < seg.q_end - seg.q_begin; ++i) {
            const int64_t begin = std::clamp<int64_t>(i + seg.low, 0, n);
            const int64_t end = std::clamp<int64_t>(i + seg.high, begin, n);
            fn(Row{b, h, seg.q_begin + i, seg.k_begin + begin, seg.k_begin + end});
        }
    }
    // Calls fn for all rows; (batch, head) pairs run at once unless asked not to.
    template <class F> void for_all(bool at_once, F&& fn) const {
        const auto pair = [&](int64_t i) {
            for (const AttentionSegment& seg : args.segments) for_rows(seg, i / heads, i % heads, fn);
        };
        if (at_once) return parallel_for(batch * heads, pair);
        for (int64_t i = 0; i < batch * heads; ++i) pair(i);
    }
};

}  // namespace

void attention_forward_f64(const AttentionArguments& args, Tensor out, Tensor lse) {
    const Problem p(args);
    const Rows<double> to = writable_rows(out);
    double* logs = lse.mutable_data<double>();
    p.for_all(true, [&](const Row& r) {
        std::vector<double> s;
        std::vector<float> factor;
        p.score(r, s, factor);
        double* y = to.at(r.batch, r.query, r.head);
        std::fill(y, y + p.value_size, 0.0);
        double top = -std::numeric_limits<double>::infinity();
        for (const double x : s) top = std::max(top, x);
        const double base = std::isinf(top) && top < 0 ? 0 : top;
        double sum = 0;
        for (double& x : s) sum += x = std::exp(x - base);
        logs[(r.batch * p.heads + r.head) * p.queries + r.query] =
            sum == 0 ? -std::numeric_limits<double>::infinity() : base + std::log(sum);
        if (sum == 0) return;
        for (int64_t j = r.begin; j < r.end; ++j) {
            const auto at = static_cast<size_t>(j - r.begin);
            add(y, s[at] / sum * static_cast<double>(factor[at]), p.v.at(r.batch, j, r.head), p.value_size);
        }
    });
}

void attention_backward_f64(const AttentionArguments& args, const AttentionIncoming& in,
                            const AttentionGradients& grads) {
    const Problem p(args);
    const Rows<const double> out = rows(in.out), grad_out = rows(in.grad_out);
    const double* logs = in.lse.data<double>();
    const double* grad_logs = in.grad_lse.defined() ? in.grad_lse.data<double>() : nullptr;
    Rows<double> dq, dk, dv;
    const auto start = [](const Tensor& grad, Rows<double>& to) {
        if (!grad.defined()) return;
        fill(grad, 0);
        to = writable_rows(grad);
    };
    start(grads.q, dq);
    start(grads.k, dk);
    start(grads.v, dv);
    Tensor bias_grad = grads.bias;
    if (bias_grad.defined()) fill(bias_grad, 0);
    double* dbias = bias_grad.defined() ? bias_grad.mutable_data<double>() : nullptr;
    p.for_all(dbias == nullptr, [&](const Row& r) {
        const int64_t index = (r.batch * p.heads + r.head) * p.queries + r.query;
        if (std::isinf(logs[index]) && logs[index] < 0) return;
        std::vector<double> s;
        std::vector<float> factor;
        p.score(r, s, factor);
        const double* g = grad_out.at(r.batch, r.query, r.head);
        const double* query = p.q.at(r.batch, r.query, r.head);
        const double mean = dot(g, out.at(r.batch, r.query, r.head), p.value_size) -
                            (grad_logs != nullptr ? grad_logs[index] : 0);
        for (int64_t j = r.begin; j < r.end; ++j) {
            const auto at = static_cast<size_t>(j - r.begin);
            const double weight = std::exp(s[at] - logs[index]), kept = static_cast<double>(factor[at]);
            const double ds = weight * (dot(g, p.v.at(r.batch, j, r.head), p.value_size) * kept - mean);
            if (dv.data != nullptr) add(dv.at(r.batch, j, r.head), weight * kept, g, p.value_size);
            if (dk.data != nullptr) add(dk.at(r.batch, j, r.head), ds * args.scale, query, p.head_size);
            if (dq.data != nullptr)
                add(dq.at(r.batch, r.query, r.head), ds * args.scale, p.k.at(r.batch, j, r.head),
                    p.head_size);
            if (dbias == nullptr) continue;
            dbias[p.bias_at(bias_grad.strides(), r, j)] += ds;
        }
    });
}

}  // namespace demi
