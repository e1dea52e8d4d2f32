// memory_efficient_attention where finite operands give scores, products or sums that the dtype does not hold, though
// it holds the result: no NaN, no infinity, and the numbers of float64.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/merge_attentions/merge_attentions.h"
#include "runtime/copy.h"
#include "tests/ops/attention_oracle.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Case {
    std::string name;
    DType dtype;
    Tensor q, k, v, g, bias;
    double scale = 1;
    AttentionBias mask{};
};

void check_case(const Case& c, double limit) {
    CAPTURE(c.name);
    CAPTURE(c.dtype);
    OracleCase o;
    o.q = c.q;
    o.k = c.k;
    o.v = c.v;
    o.grad_out = c.g;
    if (c.bias.defined())
        o.bias = c.bias.to(DType::f64).expand({1, 1, c.q.size(1), c.k.size(1)}).contiguous();
    o.mask = c.mask.materialize(c.q.size(1), c.k.size(1));
    o.scale = c.scale;
    o.grad_lse = normal_tensor({c.q.size(0), c.q.size(2), c.q.size(1)}, 9,
                               c.dtype == DType::f64 ? DType::f64 : DType::f32);
    const AttentionOracle want = attention_oracle(o);
    const Variable q(c.q, true), k(c.k, true), v(c.v, true),
        bias = c.bias.defined() ? Variable(c.bias, true) : Variable();
    AttentionOptions options;
    options.scale = c.scale;
    options.boundary.mode = BoundaryMode::off;
    const AttentionWithLse y =
        attention_with_lse(q, k, v, c.bias.defined() ? c.mask.add_bias(bias) : c.mask, options);
    CHECK(worst_row(y.out.value(), want.out) <= limit);
    std::vector<double> lse = want.lse.to_vector<double>();
    const auto most =
        static_cast<double>(std::numeric_limits<float>::max());  // what f32 has beyond its range
    for (double& x : lse) x = c.dtype == DType::f64 || std::isinf(x) ? x : std::clamp(x, -most, most);
    CHECK(worst_row(y.lse.value().unsqueeze(-1), Tensor::from(lse, want.lse.shape()).unsqueeze(-1)) <= 1e-6);
    y.out.backward(c.g, {.retain_graph = true});
    y.lse.backward(o.grad_lse);
    CHECK(worst_row(q.grad(), want.grad_q) <= limit);
    CHECK(worst_row(k.grad(), want.grad_k) <= limit);
    CHECK(worst_row(v.grad(), want.grad_v) <= limit);
    if (c.bias.defined()) CHECK(worst_row(bias.grad(), summed(want.grad_bias, c.bias.shape())) <= limit);
}

// One batch, one head: q [m, K], k and v [n, K].
struct Sizes {
    int64_t m, n, K;
};
Case make(const std::string& name, DType dtype, const Sizes& s, double q = 1) {
    Case c;
    c.name = name;
    c.dtype = dtype;
    c.q = normal_tensor({1, s.m, 1, s.K}, 1, dtype, q);
    c.k = normal_tensor({1, s.n, 1, s.K}, 2, dtype);
    c.v = normal_tensor({1, s.n, 1, s.K}, 3, dtype);
    c.g = normal_tensor({1, s.m, 1, s.K}, 4, dtype);
    c.scale = 1 / std::sqrt(static_cast<double>(s.K));
    return c;
}

void check_dtype(DType dtype, const Sizes& s) {
    const double limit = dtype == DType::f64 ? 1e-12 : dtype == DType::f32 ? 1e-5 : 4e-2;
    const double big = dtype == DType::f64 ? 1.6e308 : 3e38;  // times log2(e) too large
    const auto with_bias = [&](const std::string& name, auto&& fn) {
        for (const bool causal : {false, true})
            for (const bool one_row : {false, true}) {
                Case c = make(name, dtype, s);
                Tensor bias = Tensor::zeros({1, 1, one_row ? 1 : s.m, s.n}, dtype);
                for (int64_t i = 0; i < bias.size(2); ++i)
                    for (int64_t j = 0; j < s.n; ++j)
                        fill(bias.select(0, 0).select(0, 0).select(0, i).slice(0, j, j + 1), fn(i, j));
                c.bias = bias.to(test_device());
                if (causal) c.mask = LowerTriangularFromBottomRightMask{};
                check_case(c, limit);
            }
    };
    with_bias("biases that win", [&](int64_t i, int64_t j) { return (i + j) % 5 == 0 ? big : i % 2 * 1.0; });
    with_bias("rows of the lowest bias", [&](int64_t i, int64_t) { return i % 2 == 0 ? -big : 0.5; });
    with_bias("rows of -infinity and of the lowest", [&](int64_t i, int64_t j) {
        return i % 3 == 0 ? -kInf : i % 3 == 1 ? -big : j % 2 == 0 ? -kInf : 0;
    });
    with_bias("both ends", [&](int64_t i, int64_t j) {
        return (i + j) % 3 == 0 ? big : (i + j) % 3 == 1 ? -big : 0;
    });
    with_bias("the largest numbers", [&](int64_t, int64_t j) {
        const double most = dtype == DType::f64   ? std::numeric_limits<double>::max()
                            : dtype == DType::f32 ? static_cast<double>(std::numeric_limits<float>::max())
                                                  : 0x1.fep127;
        return j % 2 == 0 ? -most : j % 4 == 1 ? most : 0;
    });
    {
        Case c = make("a mask of -1e9 over whole rows", dtype, s, 0);  // scores that tell nothing apart
        if (dtype != DType::f64) c.bias = Tensor::full({1, 1, s.m, s.n}, -1e9, dtype).to(test_device());
        check_case(c, limit);
    }
    if (dtype == DType::f64) return;
    for (const double sign : {1.0, -1.0}) {
        Case c = make("scores beyond the range", dtype, s, 1e20);
        c.k = scaled(c.k, sign * 1e20);
        c.g = scaled(c.g, 1e-20);
        check_case(c, limit);
    }
    for (const double q : {3e37, 1e-30}) {
        Case c = make("queries at one end, keys at the other", dtype, s, q);
        c.k = scaled(c.k, 1 / q);
        c.g = scaled(c.g, std::min(q, 1 / q));
        check_case(c, dtype == DType::f32 ? 4e-5 : limit);
    }
    {
        Case c = make("values at the end of the range", dtype, s);
        c.v = scaled(c.v, 6e37);
        c.g = scaled(c.g, 1e-30);
        check_case(c, limit);
    }
    {
        Case c = make("products of values and gradients", dtype, s);
        c.v = scaled(c.v, 1e22);
        c.g = scaled(c.g, 1e22);
        c.q = scaled(c.q, 1e-12);
        c.k = scaled(c.k, 1e-12);
        check_case(c, limit);
    }
    {
        Case c = make("weights that vanish", dtype, s, 300);
        check_case(c, dtype == DType::f32 ? 2e-2 : 0.3);  // scores of some thousand: what f32 has of them
    }
}

}  // namespace

TEST_CASE("attention range: finite operands, a finite result") {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        check_dtype(dtype, {9, 5, 3});
        check_dtype(dtype, {20, emulated() ? 40 : 700, 64});
        if (!emulated()) check_dtype(dtype, {130, 70, 20});
    }
}

TEST_CASE("attention range: rows that are not affected keep their bits") {
    const auto run = [](const Tensor& bias) {
        const Variable q(normal_tensor({1, 20, 1, 16}, 1), true), k(normal_tensor({1, 90, 1, 16}, 2), true);
        AttentionOptions options;
        options.boundary.mode = BoundaryMode::off;
        const Variable y = memory_efficient_attention(q, k, k, bias, options);
        Tensor g = normal_tensor({1, 20, 1, 16}, 3);
        y.backward(g);
        return std::pair{y.value(), q.grad()};
    };
    Tensor bias = normal_tensor({20, 90}, 4);
    const auto want = run(bias);
    fill(bias.slice(0, 7, 8), -3e38);
    const auto got = run(bias);
    for (const int64_t i : {0, 6, 8, 19}) {
        CHECK(same_bits(got.first.select(1, i), want.first.select(1, i)) == "");
        CHECK(same_bits(got.second.select(1, i), want.second.select(1, i)) == "");
    }
    CHECK(same_bits(got.first.select(1, 7), want.first.select(1, 7)) != "");
}

TEST_CASE("attention range: merged parts") {
    for (const DType dtype : {DType::f32, DType::f64}) {
        const double big = dtype == DType::f64 ? 1e300 : 1e38;
        for (const double lse : {big, -big, 1e9, 1e6, -1e20}) {
            CAPTURE(lse);
            const auto part = [&](double out, double own) {
                return AttentionWithLse{
                    Variable(Tensor::full({1, 1, 1, 2}, out, dtype).to(test_device()), true),
                    Variable(Tensor::full({1, 1, 1}, own, dtype).to(test_device()), true)};
            };
            const AttentionWithLse a = part(1, lse), b = part(3, lse), none = part(7, -kInf);
            const AttentionWithLse y = merge_attentions({a, b, none});
            for (const double x : y.out.value().to_vector<double>()) CHECK(std::fabs(x - 2) < 1e-6);
            y.out.backward(Tensor::full({1, 1, 1, 2}, 1, dtype).to(test_device()));
            for (const AttentionWithLse& x : {a, b})
                for (const double g : x.out.grad().to_vector<double>()) CHECK(std::fabs(g - 0.5) < 1e-6);
            CHECK(std::fabs(a.lse.grad().item() + 1) < 1e-6);  // w (sum(g * (out_i - out)))
            CHECK(std::fabs(b.lse.grad().item() - 1) < 1e-6);
            for (const double g : none.out.grad().to_vector<double>()) CHECK(g == 0);
            CHECK(none.lse.grad().item() == 0);
        }
    }
}

}  // namespace demi::test
