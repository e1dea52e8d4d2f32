#include "tests/ops/attention_oracle.h"

#include <cmath>
#include <limits>

#include "tests/support/device.h"

namespace demi::test {
namespace {

// A contiguous copy in double, with its sizes.
struct Values {
    std::vector<double> data;
    int64_t tokens = 0, heads = 0, size = 0;

    explicit Values(const Tensor& x)
        : data(x.to_vector<double>()), tokens(x.size(1)), heads(x.size(2)), size(x.size(3)) {}
    Values(int64_t batch, int64_t t, int64_t h, int64_t k)
        : data(static_cast<size_t>(batch * t * h * k)), tokens(t), heads(h), size(k) {}
    double* at(int64_t b, int64_t t, int64_t h) {
        return data.data() + static_cast<size_t>(((b * tokens + t) * heads + h) * size);
    }
};

double dot(const double* a, const double* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace

AttentionOracle attention_oracle(const OracleCase& c) {
    const int64_t batch = c.q.size(0), m = c.q.size(1), heads = c.q.size(2), k_size = c.q.size(3);
    const int64_t n = c.k.size(1), v_size = c.v.size(3);
    const double scale = c.scale != 0 ? c.scale : 1 / std::sqrt(static_cast<double>(k_size));
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    Values q(c.q), k(c.k), v(c.v), g(c.grad_out);
    Values out(batch, m, heads, v_size), dq(batch, m, heads, k_size), dk(batch, n, heads, k_size),
        dv(batch, n, heads, v_size);
    const std::vector<double> mask = c.mask.defined() ? c.mask.to_vector<double>() : std::vector<double>();
    const std::vector<double> bias = c.bias.defined() ? c.bias.to_vector<double>() : std::vector<double>();
    const std::vector<double> dlse =
        c.grad_lse.defined() ? c.grad_lse.to_vector<double>() : std::vector<double>();
    std::vector<double> lse(static_cast<size_t>(batch * heads * m), minus_infinity);
    std::vector<double> dbias(static_cast<size_t>(batch * heads * m * n));
    std::vector<double> p(static_cast<size_t>(n)), f(static_cast<size_t>(n));
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t h = 0; h < heads; ++h)
            for (int64_t i = 0; i < m; ++i) {
                const auto row = static_cast<size_t>((b * heads + h) * m + i);
                double top = minus_infinity, sum = 0;
                for (int64_t j = 0; j < n; ++j) {
                    const auto at = static_cast<size_t>(j), ij = static_cast<size_t>(i * n + j);
                    p[at] = minus_infinity;
                    if (!mask.empty() && mask[ij] != 0) continue;
                    p[at] = scale * dot(q.at(b, i, h), k.at(b, j, h), k_size);
                    if (!bias.empty()) {
                        const int64_t bb = c.bias.size(0) == 1 ? 0 : b, bh = c.bias.size(1) == 1 ? 0 : h;
                        p[at] += bias[static_cast<size_t>((bb * c.bias.size(1) + bh) * m * n) + ij];
                    }
                    top = std::max(top, p[at]);
                }
                if (top == minus_infinity) continue;
                for (double& x : p) sum += x = x == minus_infinity ? 0 : std::exp(x - top);
                lse[row] = top + std::log(sum);
                for (int64_t j = 0; j < n; ++j) {
                    const auto at = static_cast<size_t>(j);
                    p[at] /= sum;
                    f[at] = c.factor ? c.factor(b, h, i, j) : 1;
                    for (int64_t e = 0; p[at] != 0 && e < v_size; ++e)
                        out.at(b, i, h)[e] += p[at] * f[at] * v.at(b, j, h)[e];
                }
                const double mean =
                    dot(g.at(b, i, h), out.at(b, i, h), v_size) - (dlse.empty() ? 0 : dlse[row]);
                for (int64_t j = 0; j < n; ++j) {
                    const auto at = static_cast<size_t>(j);
                    if (p[at] == 0) continue;
                    const double dp = dot(g.at(b, i, h), v.at(b, j, h), v_size) * f[at];
                    const double ds = p[at] * (dp - mean);
                    dbias[row * static_cast<size_t>(n) + at] = ds;
                    for (int64_t e = 0; e < v_size; ++e)
                        dv.at(b, j, h)[e] += p[at] * f[at] * g.at(b, i, h)[e];
                    for (int64_t e = 0; e < k_size; ++e) {
                        dq.at(b, i, h)[e] += scale * ds * k.at(b, j, h)[e];
                        dk.at(b, j, h)[e] += scale * ds * q.at(b, i, h)[e];
                    }
                }
            }
    const auto tensor = [](const std::vector<double>& data, const Shape& shape) {
        return Tensor::from(data, shape);
    };
    AttentionOracle o;
    o.out = tensor(out.data, {batch, m, heads, v_size});
    o.lse = tensor(lse, {batch, heads, m});
    o.grad_q = tensor(dq.data, c.q.shape());
    o.grad_k = tensor(dk.data, c.k.shape());
    o.grad_v = tensor(dv.data, c.v.shape());
    o.grad_bias = tensor(dbias, {batch, heads, m, n});
    return o;
}

Tensor summed(const Tensor& full, const Shape& shape) {
    const std::vector<double> from = full.to_vector<double>();
    std::vector<double> to(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < from.size(); ++i) {
        int64_t rest = static_cast<int64_t>(i), at = 0, step = 1;
        for (int d = 3; d >= 0; --d) {
            const int64_t index = rest % full.size(d);
            rest /= full.size(d);
            const int own = d - 4 + shape.rank();
            if (own < 0) continue;
            if (shape[own] != 1) at += index * step;
            step *= shape[own];
        }
        to[static_cast<size_t>(at)] += from[i];
    }
    return Tensor::from(to, shape);
}

double relative_l2(const Tensor& got, const Tensor& want) {
    const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
    double difference = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (std::isnan(difference) || got.shape() != want.shape()) return std::numeric_limits<double>::infinity();
    return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-4 * static_cast<double>(a.size())));
}

double worst_row(const Tensor& got, const Tensor& want, double least) {
    const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
    const auto width = static_cast<size_t>(want.size(-1));
    double worst = 0, highest = 1e-30;
    for (const double x : b)
        if (std::isfinite(x)) highest = std::max(highest, std::fabs(x));
    for (size_t row = 0; row < b.size(); row += width) {
        double difference = 0, size = least * highest;
        for (size_t i = row; i < row + width; ++i) {
            if (a[i] == b[i]) continue;  // infinities too
            if (!std::isfinite(a[i])) return std::numeric_limits<double>::infinity();
            difference = std::max(difference, std::fabs(a[i] - b[i]));
        }
        for (size_t i = row; i < row + width; ++i) size = std::max(size, std::fabs(b[i]));
        worst = std::max(worst, difference / size);
    }
    return worst;
}

Tensor normal_tensor(const Shape& shape, uint64_t seed, DType dtype, double std) {
    const Tensor x = Tensor::empty(shape);
    Generator generator{seed};
    normal(x, generator, 0, std);
    return x.to(dtype).to(test_device());
}

OracleCase normal_case(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t size) {
    OracleCase o;
    o.q = normal_tensor({batch, queries, heads, size}, 1);
    o.k = normal_tensor({batch, keys, heads, size}, 2);
    o.v = normal_tensor({batch, keys, heads, size}, 3);
    o.grad_out = normal_tensor({batch, queries, heads, size}, 4);
    return o;
}

Tensor changed(const Tensor& x, const std::function<double(const std::vector<double>&, size_t)>& fn) {
    const std::vector<double> from = x.to_vector<double>();
    std::vector<double> to(from.size());
    for (size_t i = 0; i < from.size(); ++i) to[i] = fn(from, i);
    return Tensor::from(to, x.shape()).to(x.dtype()).to(test_device());
}
Tensor scaled(const Tensor& x, double factor) {
    return changed(x, [&](const std::vector<double>& from, size_t i) { return from[i] * factor; });
}

Packed packed_qkv(int64_t batch, int64_t tokens, int64_t heads, int64_t size, uint64_t seed, DType dtype) {
    Packed p;
    p.qkv = normal_tensor({batch, tokens, 3, heads, size}, seed, dtype);
    p.q = p.qkv.select(2, 0);
    p.k = p.qkv.select(2, 1);
    p.v = p.qkv.select(2, 2);
    return p;
}

AttentionOptions boundary_off() {
    AttentionOptions options;
    options.boundary.mode = BoundaryMode::off;
    return options;
}

AttentionResults attention_results(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& grad,
                                   const AttentionBias& bias, const AttentionOptions& options) {
    const Variable a(q, true), b(k, true), c(v, true);
    const AttentionWithLse y = attention_with_lse(a, b, c, bias, options);
    y.out.backward(grad);
    return {y.out.value(), y.lse.value(), a.grad(), b.grad(), c.grad()};
}

}  // namespace demi::test
