// memory_efficient_attention at the fp16 boundary.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/allocator.h"
#include "runtime/copy.h"
#include "tests/ops/attention_oracle.h"
#include "tests/ops/counters.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

struct Results {
    Tensor out, lse;
    std::vector<Tensor> grads;
    std::vector<BoundaryRow> rows;
};

struct Call {
    std::vector<Tensor> inputs;  // q, k, v and maybe bias
    Tensor grad_out, grad_lse;
    AttentionBias mask;
    double dropout = 0;
    Boundary boundary;
};

Results run(const Call& c) {
    reset_boundary_counters();
    std::vector<Variable> x;
    for (const Tensor& t : c.inputs) x.emplace_back(t, true);
    Generator generator{5};
    AttentionOptions options;
    options.dropout = c.dropout;
    options.generator = &generator;
    options.boundary = c.boundary;
    const AttentionBias bias = x.size() > 3 ? c.mask.add_bias(x[3]) : c.mask;
    const AttentionWithLse y = attention_with_lse(x[0], x[1], x[2], bias, options);
    Results r{y.out.value(), y.lse.value(), {}, {}};
    y.out.backward(c.grad_out, {.retain_graph = true});
    if (c.grad_lse.defined()) y.lse.backward(c.grad_lse);
    for (const Variable& v : x) r.grads.push_back(v.grad());
    r.rows = boundary_counters();
    return r;
}

void check_same(const Results& a, const Results& b) {
    CHECK(same_bits(a.out, b.out) == "");
    CHECK(same_bits(a.lse, b.lse) == "");
    for (size_t i = 0; i < a.grads.size(); ++i) {
        CAPTURE(i);
        CHECK(same_bits(a.grads[i], b.grads[i]) == "");
    }
    REQUIRE(a.rows.size() == b.rows.size());
    for (size_t i = 0; i < a.rows.size(); ++i) {
        CAPTURE(a.rows[i].operand);
        CHECK(a.rows[i].operand == b.rows[i].operand);
        CHECK(different(a.rows[i].counters, b.rows[i].counters) == "");
    }
}

Tensor with_special_values(const Tensor& x, uint64_t seed, bool finite) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> special{0.f,     -0.f,    1e-8f,   -3e-6f,   5e-5f, 6.1e-5f, 1e-30f,
                                     65504.f, 65519.f, 65520.f, -65520.f, 1e20f, inf,     nan};
    std::vector<float> values = x.to_vector<float>();
    Generator g{seed};
    for (int i = 0; i < 6 && !values.empty(); ++i) {
        const size_t limit = finite ? 7 : special.size();
        values[g.next_below(static_cast<uint32_t>(values.size()))] =
            special[g.next_below(static_cast<uint32_t>(limit))];
    }
    return Tensor::from(values, x.shape()).to(x.dtype()).to(test_device());
}

DType dtype_of_index(int64_t i) { return i % 3 == 0 ? DType::f32 : i % 3 == 1 ? DType::bf16 : DType::f16; }

}  // namespace

TEST_CASE("attention boundary: fused and explicit casts give the same bits and counts") {
    Generator g{99};
    const auto below = [&](uint32_t n) { return static_cast<int64_t>(g.next_below(n)); };
    for (int round = 0; round < (emulated() ? 7 : quick() ? 20 : 150); ++round) {
        const int64_t batch = 1 + below(2), m = below(70), n = below(emulated() ? 100 : 400),
                      h = 1 + below(3), k = 1 + below(70);
        const int64_t v = 1 + below(70);
        const bool mixed = round % 5 == 0;
        const auto seed = static_cast<uint64_t>(round * 10);
        const auto dtype = [&](int64_t i) { return dtype_of_index(mixed ? round + i : round); };
        Call c;
        c.inputs = {normal_tensor({batch, m, h, k}, seed, dtype(0)),
                    normal_tensor({batch, n, h, k}, seed + 1, dtype(1)),
                    normal_tensor({batch, n, h, v}, seed + 2, dtype(2))};
        if (round % 4 == 1) c.inputs.push_back(normal_tensor({1, h, m, n}, seed + 3, dtype(3)));
        if (round % 3 == 1) c.mask = LowerTriangularFromBottomRightMask{};
        if (round % 6 == 2) c.dropout = 0.3;
        c.grad_out = normal_tensor({batch, m, h, v}, seed + 4, dtype(0), round % 2 == 0 ? 1 : 1e-6);
        if (round % 7 == 3) c.grad_lse = normal_tensor({batch, h, m}, seed + 5);
        for (size_t i = 0; i < c.inputs.size(); ++i)
            c.inputs[i] = with_special_values(c.inputs[i], seed + 6 + i, round % 2 == 0);
        c.grad_out = with_special_values(c.grad_out, seed + 8, round % 2 == 0);
        c.boundary.mode = round % 8 < 5 ? BoundaryMode::strict : BoundaryMode::wide;
        if (round % 4 == 2) c.boundary.overflow = OverflowPolicy::saturate;
        c.boundary.grad_scale = round % 3 == 0   ? GradScale::none()
                                : round % 3 == 1 ? GradScale::automatic()
                                                 : GradScale::fixed(10);
        CAPTURE(round);
        CAPTURE(c.boundary.mode);
        const Results fused = run(c);
        c.boundary.explicit_casts = true;
        check_same(fused, run(c));
    }
}

TEST_CASE("attention boundary: strict is the f16 call on rounded operands") {
    const Packed p = packed_qkv(2, 50, 3, 32, 7);
    const Tensor g = normal_tensor({2, 50, 3, 32}, 8);
    const Results strict = run({{p.q, p.k, p.v}, g, {}, {}, 0, {}});
    Call half{{p.q.to(DType::f16), p.k.to(DType::f16), p.v.to(DType::f16)}, g.to(DType::f16), {}, {}, 0, {}};
    half.boundary.mode = BoundaryMode::off;
    const Results f16 = run(half);
    CHECK(strict.out.dtype() == DType::f32);
    CHECK(same_bits(strict.out, f16.out.to(DType::f32)) == "");
    for (size_t i = 0; i < 3; ++i) CHECK(same_bits(strict.grads[i], f16.grads[i].to(DType::f32)) == "");
}

TEST_CASE("attention boundary: accuracy of each mode") {
    for (const DType dtype : {DType::f32, DType::bf16}) {
        OracleCase o;
        o.q = normal_tensor({2, 100, 2, 64}, 1, dtype).to(DType::f16).to(dtype);  // exact in fp16
        o.k = normal_tensor({2, 90, 2, 64}, 2, dtype).to(DType::f16).to(dtype);
        o.v = normal_tensor({2, 90, 2, 64}, 3, dtype).to(DType::f16).to(dtype);
        o.grad_out = normal_tensor({2, 100, 2, 64}, 4, dtype).to(DType::f16).to(dtype);
        const AttentionOracle want = attention_oracle(o);
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off}) {
            Call c{{o.q, o.k, o.v}, o.grad_out, {}, {}, 0, {}};
            c.boundary.mode = mode;
            const Results r = run(c);
            // A GPU multiplies fp16 weights where the operands are fp16.
            const bool half =
                mode == BoundaryMode::strict || (mode == BoundaryMode::wide && test_device().is_cuda());
            const double bound = dtype == DType::bf16 ? 4e-3 : half ? 4e-4 : 3e-6;
            CHECK(relative_l2(r.out, want.out) <= bound);
            CHECK(relative_l2(r.grads[0], want.grad_q) <= 1.25 * bound);
            CHECK(relative_l2(r.grads[1], want.grad_k) <= 1.25 * bound);
            CHECK(relative_l2(r.grads[2], want.grad_v) <= 1.25 * bound);
        }
    }
}

TEST_CASE("attention boundary: a packed batch is scaled like the batch") {
    const int64_t batch = 96, length = 7;
    const auto packed = [&](const Tensor& x) { return x.reshape({1, batch * length, 2, 16}); };
    Call c;
    for (uint64_t i = 0; i < 3; ++i) c.inputs.push_back(normal_tensor({batch, length, 2, 16}, 20 + i));
    c.grad_out = normal_tensor({batch, length, 2, 16}, 23);
    c.boundary.grad_scale = GradScale::automatic();
    const Results apart = run(c);
    for (Tensor& x : c.inputs) x = packed(x);
    c.grad_out = packed(c.grad_out);
    c.mask = BlockDiagonalMask::from_seqlens(std::vector<int64_t>(batch, length));
    const Results together = run(c);
    for (size_t i = 0; i < 3; ++i) CHECK(same_bits(together.grads[i], packed(apart.grads[i])) == "");
}

TEST_CASE("attention boundary: gradient scaling keeps small gradients") {
    const Packed p = packed_qkv(1, 80, 2, 64, 3);
    const Tensor g = normal_tensor({1, 80, 2, 64}, 4);
    Call c{{p.q, p.k, p.v}, g, {}, {}, 0, {}};
    c.boundary.grad_scale = GradScale::automatic();
    const Results unit = run(c);
    for (const double size : {1e-4, 1e-8, 1e-20}) {
        CAPTURE(size);
        std::vector<double> small = g.to_vector<double>();
        for (double& x : small) x *= size;
        c.grad_out = Tensor::from(small, g.shape()).to(DType::f32).to(test_device());
        const Results r = run(c);
        for (size_t i = 0; i < 3; ++i) {
            std::vector<double> back = r.grads[i].to_vector<double>();
            for (double& x : back) x /= size;
            CHECK(relative_l2(Tensor::from(back, g.shape()), unit.grads[i]) <=
                  (test_device().is_cpu() ? 5e-4 : 7e-4));
        }
    }
    c.boundary.grad_scale = GradScale::none();  // and without it they vanish
    c.grad_out = Tensor::full(g.shape(), 1e-8).to(test_device());
    for (const double x : run(c).grads[2].to_vector<double>()) REQUIRE(x == 0);
}

TEST_CASE("attention boundary: overflow policies") {
    Call c{{normal_tensor({1, 3, 1, 4}, 1), normal_tensor({1, 3, 1, 4}, 2), normal_tensor({1, 3, 1, 4}, 3)},
           normal_tensor({1, 3, 1, 4}, 4),
           {},
           {},
           0,
           {}};
    fill(c.inputs[2].slice(1, 1, 2).slice(3, 2, 3), 70000);
    c.boundary.mode = BoundaryMode::wide;
    CHECK(std::isinf(run(c).out.to_vector<float>()[2]));
    c.boundary.overflow = OverflowPolicy::saturate;
    CHECK(std::isfinite(run(c).out.to_vector<float>()[2]));
    c.boundary.overflow = OverflowPolicy::error;
    c.boundary.site = "blocks.3.attn";
    CHECK_THROWS_WITH_AS(
        run(c),
        "[memory_efficient_attention] overflow at the fp16 boundary of blocks.3.attn (forward): v at "
        "(0, 1, 0, 2) is 70000, at most 65504 fits; 1 of 12 elements do not (OverflowPolicy::error)",
        Error);
    c.boundary.mode = BoundaryMode::off;
    CHECK(run(c).out.to_vector<float>()[2] > 23000);  // 70000 / 3 keys; limited it would be 21835
}

TEST_CASE("attention boundary: what the ledger says") {
    Call c{{normal_tensor({2, 40, 2, 16}, 1), normal_tensor({2, 600, 2, 16}, 2),
            normal_tensor({2, 600, 2, 16}, 3)},
           normal_tensor({2, 40, 2, 16}, 4),
           {},
           LowerTriangularMask{},
           0,
           {}};
    const std::vector<BoundaryRow> rows = run(c).rows;
    std::vector<std::string> names;
    for (const BoundaryRow& row : rows) {
        names.push_back(row.operand);
        const int64_t tokens =
            row.operand == "q" || row.operand == "result" || row.operand == "grad" || row.operand == "grad_q"
                ? 40
                : 600;
        CHECK(row.counters.elements == 2 * tokens * 2 * 16);  // keys that no query sees are counted too
    }
    CHECK(names == std::vector<std::string>{"q", "k", "v", "result", "grad", "grad_q", "grad_k", "grad_v"});
    c.boundary.count = false;
    CHECK(run(c).rows.empty());
}

TEST_CASE("attention boundary: the fused path makes no copy of an operand") {
    if (!test_device().is_cpu()) return;
    const Packed p = packed_qkv(2, 512, 8, 64, 1);
    const Tensor q = p.q, k = p.k, v = p.v;
    const int64_t before = allocator_stats().live_bytes;
    reset_peak();
    AttentionOptions options;
    options.boundary.count = true;
    const Variable out = memory_efficient_attention(q, k, v, {}, options);
    const int64_t results = 2 * 512 * 8 * 64 * 4 + 2 * 8 * 512 * 4;
    const int64_t scratch = 4 << 20;  // tiles, for all threads
    CHECK(allocator_stats().peak_bytes - before <= results + scratch);
}

}  // namespace demi::test
