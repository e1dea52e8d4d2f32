// Dropout, and attention over parts of the keys.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/merge_attentions/merge_attentions.h"
#include "tests/ops/attention_oracle.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {}  // namespace

TEST_CASE("attention: dropout") {
    const auto with = [](double p, Generator* g, BoundaryMode mode = BoundaryMode::off) {
        AttentionOptions options = boundary_off();
        options.boundary.mode = mode;
        options.dropout = p;
        options.generator = g;
        return options;
    };
    // Equal scores and v = 1: the result counts what was kept.
    const int64_t batch = emulated() ? 1 : 2, heads = emulated() ? 1 : 3, rows = batch * heads * 64;
    const Tensor zero = Tensor::zeros({batch, 64, heads, 4}).to(test_device()),
                 keys = Tensor::zeros({batch, 1000, heads, 4}).to(test_device()),
                 one = Tensor::full({batch, 1000, heads, 4}, 1).to(test_device());
    const double spread = emulated() ? 0.5 : 0.3;
    for (const double p : {0.1, 0.5, 0.9}) {
        Generator g{42};
        const std::vector<double> out =
            memory_efficient_attention(zero, keys, one, {}, with(p, &g)).value().to_vector<double>();
        CHECK(g.offset == static_cast<uint64_t>(rows * 1000 / 4));
        double mean = 0, square = 0;
        for (size_t i = 0; i < out.size(); i += 4) {
            mean += out[i] * 4 / static_cast<double>(out.size());
            square += (out[i] - 1) * (out[i] - 1) * 4 / static_cast<double>(out.size());
        }
        const double variance = p / (1 - p) / 1000;
        CHECK(std::fabs(mean - 1) < 5 * std::sqrt(variance / static_cast<double>(rows)));
        CHECK(square > (1 - spread) * variance);
        CHECK(square < (1 + spread) * variance);
    }
    Generator all{1};
    for (const float x :
         memory_efficient_attention(zero, keys, one, {}, with(1, &all)).value().to_vector<float>())
        CHECK(x == 0);

    // Backward uses the same factors: against the oracle, across tiles, masks and segments.
    const int64_t m = emulated() ? 20 : 70, n = emulated() ? 200 : 700;
    OracleCase o = normal_case(1, m, n, 2, 16);
    o.factor = [m, n](int64_t b, int64_t h, int64_t i, int64_t j) {
        const auto word = static_cast<uint64_t>(((b * 2 + h) * m + i) * n + j);
        return to_uniform(random_word(7, 100, word)) >= 0.3f ? 1 / 0.7 : 0.;
    };
    const AttentionBias masks[] = {{}, BlockDiagonalMask::from_seqlens({m - 9, 9}, {n - 60, 60})};
    for (const AttentionBias& mask : masks) {
        o.mask = mask.materialize(m, n);
        const AttentionOracle want = attention_oracle(o);
        Generator g{7, 100};
        const AttentionResults r = attention_results(o.q, o.k, o.v, o.grad_out, mask, with(0.3, &g));
        CHECK(relative_l2(r.out, want.out) <= 2e-6);
        CHECK(relative_l2(r.q, want.grad_q) <= 4e-6);
        CHECK(relative_l2(r.k, want.grad_k) <= 4e-6);
        CHECK(relative_l2(r.v, want.grad_v) <= 4e-6);
        Generator g64{7, 100};
        const AttentionResults d =
            attention_results(o.q.to(DType::f64), o.k.to(DType::f64), o.v.to(DType::f64),
                              o.grad_out.to(DType::f64), mask, with(0.3, &g64));
        CHECK(relative_l2(d.out, want.out) <= 1e-6);
    }
}

TEST_CASE("attention: parts of the keys merge into the whole") {
    const OracleCase o = normal_case(2, 30, 90, 2, 16);
    const AttentionOracle want = attention_oracle(o);
    const Variable q(o.q, true);
    std::vector<Variable> k, v;
    std::vector<AttentionWithLse> parts;
    for (int64_t at = 0; at <= 90; at += 30) {  // the last part has no keys at all
        const int64_t end = std::min<int64_t>(90, at + 30);
        k.emplace_back(o.k.slice(1, at, end).contiguous(), true);
        v.emplace_back(o.v.slice(1, at, end).contiguous(), true);
        parts.push_back(attention_with_lse(q, k.back(), v.back(), {}, boundary_off()));
    }
    const AttentionWithLse whole = merge_attentions(parts);
    CHECK(relative_l2(whole.out.value(), want.out) <= 1e-6);
    CHECK(compare(whole.lse.value(), want.lse, {2e-6, 2e-6}) == "");
    whole.out.backward(o.grad_out);
    CHECK(relative_l2(q.grad(), want.grad_q) <= 4e-6);
    for (size_t i = 0; i < 3; ++i) {
        const auto at = static_cast<int64_t>(i) * 30;
        CHECK(relative_l2(k[i].grad(), want.grad_k.slice(1, at, at + 30)) <= 4e-6);
        CHECK(relative_l2(v[i].grad(), want.grad_v.slice(1, at, at + 30)) <= 4e-6);
    }
    CHECK(merge_attentions({parts[3]}).lse.value().to_vector<float>()[0] ==
          -std::numeric_limits<float>::infinity());
    CHECK_THROWS_AS(merge_attentions({}), Error);
    CHECK_THROWS_AS(merge_attentions({parts[0], {parts[1].out, parts[1].out}}), Error);
}

}  // namespace demi::test
