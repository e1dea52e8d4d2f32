// attention_range_test.cpp for every kind of mask, bias and head.
#include <doctest/doctest.h>

#include "runtime/random.h"
#include "tests/ops/attention_oracle.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

// Several heads; biases of the largest numbers, or (without a bias) scores beyond the range. Keys come in
// pairs that differ where queries are 0: both have a share of the largest score.
struct Layout {
    std::string name;
    Shape bias{};
    AttentionBias mask{};
    double dropout = 0;
    int64_t queries = 13, keys = 24;
};

void check_layout(const Layout& l, DType dtype, int64_t head_size, int64_t value_size) {
    const int64_t batch = l.mask.is_block_diagonal() ? 1 : 2, m = l.queries, n = l.keys;
    const bool biased = l.bias.rank() > 0;
    CAPTURE(l.name);
    CAPTURE(dtype);
    CAPTURE(head_size);
    const auto drawn = [&](int64_t tokens, int64_t size, uint64_t seed) {
        return normal_tensor({batch, tokens, 2, size}, seed, dtype);
    };
    OracleCase o;
    const double far = biased ? 1 : dtype == DType::f16 ? 600 : 1e20;
    o.q = scaled(drawn(m, head_size, 1), far);
    o.k = scaled(drawn(n, head_size, 2), far);
    const auto width = static_cast<size_t>(head_size), token = 2 * width;
    o.q = changed(o.q, [&](const auto& x, size_t i) { return i % width < 2 ? 0 : x[i]; });
    o.k = changed(o.k, [&](const auto& x, size_t i) {
        return i % width >= 2 && i / token % 2 == 1 ? x[i - token] : x[i];
    });
    o.v = drawn(n, value_size, 3);
    o.grad_out = scaled(drawn(m, value_size, 4), biased ? 1 : 1 / far);
    o.grad_lse = scaled(normal_tensor({batch, 2, m}, 5, dtype == DType::f64 ? DType::f64 : DType::f32),
                        biased ? 1 : 1 / far);
    o.mask = l.mask.materialize(m, n);
    if (l.dropout > 0)
        o.factor = [&](int64_t b, int64_t h, int64_t i, int64_t j) {
            const auto word = static_cast<uint64_t>(((b * 2 + h) * m + i) * n + j);
            const bool kept = to_uniform(random_word(7, 100, word)) >= static_cast<float>(l.dropout);
            return kept ? 1 / (1 - l.dropout) : 0.;
        };
    Variable bias;
    if (biased) {
        const double big = dtype == DType::f64 ? 1.6e308 : 3e38;
        std::vector<double> numbers;
        for (int64_t i = 0; i < l.bias.numel(); ++i)
            numbers.push_back(i % 7 == 0 ? big : i % 5 == 0 ? -big : 0.25 * static_cast<double>(i % 3));
        const Tensor b = Tensor::from(numbers, l.bias).to(dtype == DType::f16 ? DType::f32 : dtype);
        bias = Variable(b.to(test_device()), true);
        o.bias = b.to(DType::f64).expand({batch, 2, m, n}).contiguous();
    }
    const AttentionOracle want = attention_oracle(o);
    const Variable q(o.q, true), k(o.k, true), v(o.v, true);
    Generator generator{7, 100};
    AttentionOptions options = boundary_off();
    options.dropout = l.dropout;
    options.generator = &generator;
    const bool masked = l.mask.describe() != AttentionBias().describe();
    const AttentionWithLse y = attention_with_lse(q, k, v,
                                                  !biased  ? l.mask
                                                  : masked ? l.mask.add_bias(bias)
                                                           : AttentionBias(bias),
                                                  options);
    const double limit = dtype == DType::f64   ? 1e-12
                         : dtype == DType::f32 ? 1e-5
                         : dtype == DType::f16 ? 8e-3
                                               : 4e-2;
    CHECK(worst_row(y.out.value(), want.out, 0.1) <= limit);
    y.out.backward(o.grad_out, {.retain_graph = true});
    y.lse.backward(o.grad_lse);
    CHECK(worst_row(q.grad(), want.grad_q, 0.1) <= limit);
    CHECK(worst_row(k.grad(), want.grad_k, 0.1) <= limit);
    CHECK(worst_row(v.grad(), want.grad_v, 0.1) <= limit);
    if (biased) CHECK(worst_row(bias.grad(), summed(want.grad_bias, l.bias), 0.1) <= 2 * limit);
}

}  // namespace

TEST_CASE("attention range: heads, masks, segments, shapes of bias, dropout") {
    const BlockDiagonalMask blocks = BlockDiagonalMask::from_seqlens({8, 0, 4, 1}, {13, 3, 8, 0});
    const Layout layouts[] = {
        {"none"},
        {"dropout", {}, {}, 0.3},
        {"causal", {}, LowerTriangularFromBottomRightMask{}},
        {"segments", {}, blocks},
        {"causal segments", {}, blocks.make_causal_from_bottomright()},
        {"bias", {2, 2, 13, 24}},
        {"one batch", {1, 2, 13, 24}},
        {"one row", {2, 1, 1, 24}},
        {"one column", {2, 2, 13, 1}},
        {"all in one", {1, 1, 13, 24}, LocalAttentionFromBottomRightMask{9, 3}},
        {"bias and dropout", {2, 2, 13, 24}, LowerTriangularFromBottomRightMask{}, 0.3},
        {"tiles", {}, {}, 0, 34, 70},
        {"causal tiles with a bias", {1, 1, 34, 70}, LowerTriangularFromBottomRightMask{}, 0, 34, 70},
    };
    for (const Layout& l : layouts)
        for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
            for (const auto& [head_size, value_size] :
                 {std::pair<int64_t, int64_t>{16, 24}, {64, 64}, {150, 140}, {260, 8}}) {
                const bool every = l.name == "none" || l.name == "bias";  // sizes and dtypes
                if (!every && (head_size > 64 || (l.keys > 64 && head_size != 64))) continue;
                if (!every && emulated() && (dtype == DType::f32) == (head_size == 64)) continue;
                if (l.bias.rank() == 0 && dtype == DType::f64) continue;  // 1e20 is nothing to it
                check_layout(l, dtype, head_size, value_size);
            }
}

}  // namespace demi::test
