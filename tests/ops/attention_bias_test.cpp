// Tensor biases of memory_efficient_attention that broadcast, and bool masks.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/views/views.h"
#include "tests/ops/attention_oracle.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Setup {
    Tensor q, k, v, g, g_lse;
};
Setup setup(DType dtype, int64_t m, int64_t n) {
    return {normal_tensor({2, m, 3, 8}, 1, dtype), normal_tensor({2, n, 3, 8}, 2, dtype),
            normal_tensor({2, n, 3, 5}, 3, dtype), normal_tensor({2, m, 3, 5}, 4, dtype),
            normal_tensor({2, 3, m}, 5, dtype == DType::f64 ? DType::f64 : DType::f32)};
}

OracleCase oracle_case(const Setup& s) {
    OracleCase o;
    o.q = s.q;
    o.k = s.k;
    o.v = s.v;
    o.grad_out = s.g;
    o.grad_lse = s.g_lse;
    return o;
}

struct Results {
    Tensor out, lse, q, k, v, bias;
};
Results run(const Setup& s, const AttentionBias& bias, const AttentionOptions& options) {
    const Variable q(s.q, true), k(s.k, true), v(s.v, true);
    const AttentionWithLse y = attention_with_lse(q, k, v, bias, options);
    y.out.backward(s.g, {.retain_graph = true});
    y.lse.backward(s.g_lse);
    return {y.out.value(), y.lse.value(), q.grad(), k.grad(), v.grad(), bias.tensor().grad()};
}

AttentionOptions in_mode(BoundaryMode mode) {
    AttentionOptions options;
    options.boundary.mode = mode;
    return options;
}

void check_close(const Results& got, const AttentionOracle& want, const Tensor& bias, double limit) {
    CHECK(relative_l2(got.out, want.out) <= limit);
    CHECK(relative_l2(got.lse, want.lse) <= limit);
    CHECK(relative_l2(got.q, want.grad_q) <= limit);
    CHECK(relative_l2(got.k, want.grad_k) <= limit);
    CHECK(relative_l2(got.v, want.grad_v) <= limit);
    if (bias.defined()) CHECK(relative_l2(got.bias, summed(want.grad_bias, bias.shape())) <= limit);
}

}  // namespace

TEST_CASE("attention bias: any shape that broadcasts, value and gradient") {
    Sample taken(5);
    for (const int64_t n : {7, emulated() || quick() ? 70 : 300})
        for (const DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
            const int64_t m = emulated() || quick() ? 20 : 130;
            const Setup s = setup(dtype, m, n);
            for (const Shape& shape :
                 {Shape{2, 3, m, n}, Shape{2, 1, 1, n}, Shape{1, 3, 1, n}, Shape{2, 3, m, 1},
                  Shape{2, 3, 1, 1}, Shape{1, 1, 1, 1}, Shape{3, m, n}, Shape{3, 1, n}, Shape{m, n},
                  Shape{1, n}, Shape{m, 1}, Shape{n}, Shape{}}) {
                if (!taken()) continue;
                CAPTURE(dtype);
                CAPTURE(shape);
                const Tensor bias = normal_tensor(shape, 6, dtype);
                OracleCase o = oracle_case(s);
                o.bias = bias.to(DType::f64).expand({2, 3, m, n}).contiguous();
                const double limit = dtype == DType::f64   ? 1e-12
                                     : dtype == DType::f32 ? 4e-6
                                     : dtype == DType::f16 ? 2e-3
                                                           : 1.5e-2;
                const Variable b(bias, true);
                check_close(run(s, b, in_mode(BoundaryMode::off)), attention_oracle(o), bias, limit);
            }
        }
}

TEST_CASE("attention bias: a stretched bias is the expanded one, in every mode, with masks and dropout") {
    const int64_t m = emulated() ? 20 : 60, n = emulated() ? 40 : 90;
    Sample taken(5);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
            for (const Shape& shape : {Shape{2, 1, 1, n}, Shape{3, m, 1}, Shape{1, 1, 1, 1}})
                for (const double dropout : {0.0, 0.3}) {
                    if (!taken()) continue;
                    CAPTURE(dtype);
                    CAPTURE(mode);
                    CAPTURE(shape);
                    const Setup s = setup(dtype, m, n);
                    const Tensor bias = normal_tensor(shape, 6);
                    Results r[3];
                    for (int i = 0; i < 3; ++i) {
                        const Variable b(bias, true);
                        Generator generator{9};
                        AttentionOptions options = in_mode(mode);
                        options.dropout = dropout;
                        options.generator = &generator;
                        options.boundary.explicit_casts = i == 1;
                        options.boundary.grad_scale = GradScale::automatic();
                        const AttentionBias causal = LowerTriangularFromBottomRightMask{};
                        reset_boundary_counters();
                        r[i] = run(s, causal.add_bias(i == 2 ? expand(b, {2, 3, m, n}) : b), options);
                        r[i].bias = b.grad();
                        for (const BoundaryRow& row : boundary_counters())
                            if (row.operand == "bias")
                                CHECK(row.counters.elements == (i == 2 ? 2 * 3 * m * n : shape.numel()));
                    }
                    for (const int i : {1, 2}) {
                        CHECK(same_bits(r[0].out, r[i].out) == "");
                        CHECK(same_bits(r[0].lse, r[i].lse) == "");
                        CHECK(same_bits(r[0].q, r[i].q) == "");
                        CHECK(same_bits(r[0].k, r[i].k) == "");
                        CHECK(same_bits(r[0].v, r[i].v) == "");
                    }
                    CHECK(same_bits(r[0].bias, r[1].bias) == "");
                    const double limit =
                        mode == BoundaryMode::strict ? 4e-2 : 1e-5;  // sums of what was rounded
                    if (mode == BoundaryMode::strict || dtype == DType::f32)
                        CHECK(relative_l2(r[0].bias, r[2].bias) <= limit);
                }
}

TEST_CASE("attention bias: in a bool mask true means that a query attends") {
    const int64_t m = 10, n = emulated() ? 40 : 150;
    Sample taken(3);
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16})
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::off})
            for (const Shape& shape : {Shape{2, 3, m, n}, Shape{2, 1, 1, n}, Shape{m, n}, Shape{m, 1}}) {
                if (!taken()) continue;
                CAPTURE(dtype);
                CAPTURE(shape);
                const Setup s = setup(dtype, m, n);
                std::vector<double> numbers(static_cast<size_t>(shape.numel()));
                Generator g{3};
                for (double& x : numbers) x = g.next_below(3) != 0;
                if (shape == Shape{2, 3, m, n})
                    for (int64_t j = 0; j < n; ++j)
                        numbers[static_cast<size_t>(j)] = 0;  // a query without keys
                const Tensor mask = Tensor::from(numbers, shape).to(DType::boolean).to(test_device());
                std::vector<double> biases;
                for (const double x : numbers) biases.push_back(x != 0 ? 0 : -kInf);
                const Tensor bias = Tensor::from(biases, shape).to(DType::f16).to(test_device());
                AttentionOptions options = in_mode(mode);
                options.boundary.overflow = OverflowPolicy::error;  // a mask is no number that could overflow
                const Results got = run(s, mask, options), want = run(s, bias, options);
                CHECK(!got.bias.defined());
                CHECK(same_bits(got.out, want.out) == "");
                CHECK(same_bits(got.lse, want.lse) == "");
                CHECK(same_bits(got.q, want.q) == "");
                CHECK(same_bits(got.k, want.k) == "");
                CHECK(same_bits(got.v, want.v) == "");
                if (dtype != DType::f64) continue;
                OracleCase o = oracle_case(s);
                o.bias = Tensor::from(biases, shape).expand({2, 3, m, n}).contiguous();
                const AttentionOracle oracle = attention_oracle(o);
                CHECK(relative_l2(got.out, oracle.out) <= 1e-12);
                CHECK(relative_l2(got.q, oracle.grad_q) <= 1e-12);
                CHECK(relative_l2(got.v, oracle.grad_v) <= 1e-12);
            }
}

TEST_CASE("attention bias: queries of rank 3, and what does not fit") {
    const Tensor q = normal_tensor({2, 6, 4}, 1), k = normal_tensor({2, 9, 4}, 2);
    const Tensor bias = normal_tensor({2, 1, 9}, 3);
    const auto four = [](const Tensor& x) { return x.unsqueeze(2); };
    const Variable want = memory_efficient_attention(four(q), four(k), four(k), bias.unsqueeze(1));
    for (const Tensor& b : {bias, bias.unsqueeze(1)})
        CHECK(same_bits(memory_efficient_attention(q, k, k, b).value(), want.value().squeeze(2)) == "");
    const auto message = [&](const Shape& shape, DType dtype = DType::f32) {
        const Tensor x = Tensor::zeros(shape, dtype).to(test_device());
        return error_of([&] { memory_efficient_attention(q, k, k, x); });
    };
    CHECK(message({6, 8}) ==
          "[memory_efficient_attention] the bias must broadcast (see expand) to (2, 6, 9), [batch, "
          "queries, keys], for q (2, 6, 4) and k (2, 9, 4): got (6, 8)");
    CHECK(message({1, 1, 1, 6, 9}) != "");
    CHECK(message({2, 3, 6, 9}) != "");
    CHECK(
        message({6, 9}, DType::i64) ==
        "[memory_efficient_attention] the bias must be a floating-point or bool tensor: got i64 (6, 9) on " +
            std::string(test_device().is_cpu() ? "cpu" : "cuda:0"));
}

}  // namespace demi::test
