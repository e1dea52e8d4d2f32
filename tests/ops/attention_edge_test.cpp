// memory_efficient_attention where things are empty, masked, not finite, strided, long,
// or shared between threads.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/record.h"
#include "runtime/allocator.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"
#include "tests/ops/attention_oracle.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

void check_same(const AttentionResults& a, const AttentionResults& b) {
    CHECK(same_bits(a.out, b.out) == "");
    CHECK(same_bits(a.lse, b.lse) == "");
    CHECK(same_bits(a.q, b.q) == "");
    CHECK(same_bits(a.k, b.k) == "");
    CHECK(same_bits(a.v, b.v) == "");
}

// Row `token` of every head gets `value` in one element.
void poison(Tensor x, int64_t token, float value) {
    for (int64_t h = 0; h < x.size(2); ++h)
        fill(x.slice(1, token, token + 1).slice(2, h, h + 1).slice(3, 1, 2), value);
}
bool row_is_nan(const Tensor& x, int64_t token, int64_t head = 0) {
    for (const float value : x.select(0, 0).select(0, token).select(0, head).to_vector<float>())
        if (!std::isnan(value)) return false;
    return true;
}

}  // namespace

TEST_CASE("attention edges: empty lengths, batches and masks") {
    for (const Shape& s : {Shape{0, 5, 2, 4}, Shape{2, 0, 2, 4}, Shape{2, 5, 0, 4}}) {
        const Tensor x = Tensor::full(s, 1).to(test_device());
        const AttentionResults r = attention_results(x, x, x, x);
        CHECK(r.out.shape() == s);
        CHECK(r.q.shape() == s);
    }
    const Tensor q = normal_tensor({2, 5, 2, 4}, 1), none = Tensor::zeros({2, 0, 2, 4}).to(test_device());
    const AttentionResults no_keys = attention_results(q, none, none, q);
    for (const float x : no_keys.out.to_vector<float>()) CHECK(x == 0);
    for (const float x : no_keys.lse.to_vector<float>()) CHECK(x == -kInf);
    for (const float x : no_keys.q.to_vector<float>()) CHECK(x == 0);
    const AttentionResults no_queries = attention_results(none, q, q, none);
    for (const float x : no_queries.k.to_vector<float>()) CHECK(x == 0);
    for (const float x : no_queries.v.to_vector<float>()) CHECK(x == 0);
    const Tensor nothing = Tensor::zeros({1, 0, 1, 4}).to(test_device());
    CHECK(attention_results(nothing, nothing, nothing, nothing, BlockDiagonalMask::from_seqlens({}))
              .out.numel() == 0);
    CHECK(attention_results(nothing, nothing, nothing, nothing, BlockDiagonalMask::from_seqlens({0, 0}))
              .out.numel() == 0);
}

TEST_CASE("attention edges: queries that see nothing give zeros, whatever they hold") {
    for (const DType dtype : {DType::f32, DType::f16, DType::f64}) {
        Tensor q = normal_tensor({1, 20, 1, 8}, 1, dtype), k = normal_tensor({1, 12, 1, 8}, 2, dtype),
               v = normal_tensor({1, 12, 1, 8}, 3, dtype), g = normal_tensor({1, 20, 1, 8}, 4, dtype);
        const AttentionResults clean = attention_results(q, k, v, g, LowerTriangularFromBottomRightMask{});
        poison(q, 3, kNan);  // queries 0..7 see nothing
        poison(g, 5, kInf);
        const AttentionResults r = attention_results(q, k, v, g, LowerTriangularFromBottomRightMask{});
        check_same(clean, r);
        for (int64_t i = 0; i < 8; ++i) {
            CHECK(r.lse.to_vector<float>()[static_cast<size_t>(i)] == -kInf);
            for (const float x : r.out.select(0, 0).select(0, i).to_vector<float>()) CHECK(x == 0);
            for (const float x : r.q.select(0, 0).select(0, i).to_vector<float>()) CHECK(x == 0);
        }
        // The same through a bias of -infinity.
        Tensor bias = Tensor::zeros({20, 12}, dtype).to(test_device());
        fill(bias.slice(0, 0, 8), -std::numeric_limits<double>::infinity());
        const AttentionResults b = attention_results(normal_tensor({1, 20, 1, 8}, 1, dtype), k, v, g, bias);
        for (const float x : b.out.slice(1, 0, 8).to_vector<float>()) CHECK(x == 0);
        for (const float x : b.k.to_vector<float>()) CHECK(std::isfinite(x));
        for (const float x : b.v.to_vector<float>()) CHECK(std::isfinite(x));
    }
}

TEST_CASE("attention edges: heads of 64, a row that is not finite, queries that weigh nothing") {
    for (const DType dtype : {DType::f16, DType::bf16}) {
        const auto drawn = [&](uint64_t seed) { return normal_tensor({1, 70, 1, 64}, seed, dtype); };
        const auto run_with = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g) {
            return attention_results(q, k, v, g, BlockDiagonalMask::from_seqlens({30, 0, 40}));
        };
        const Tensor q = drawn(1), k = drawn(2), v = drawn(3), g = drawn(4);
        const AttentionResults clean = run_with(q, k, v, g);
        Tensor bad_q = q.clone(), bad_k = k.clone(), bad_v = v.clone(), bad_g = g.clone();
        poison(bad_k, 35, kNan);
        poison(bad_v, 36, kInf);
        poison(bad_q, 37, kNan);
        poison(bad_g, 38, kInf);
        const AttentionResults r = run_with(bad_q, bad_k, bad_v, bad_g);
        for (const auto& [got, want] :
             {std::pair{r.out, clean.out}, {r.q, clean.q}, {r.k, clean.k}, {r.v, clean.v}})
            CHECK(same_bits(got.slice(1, 0, 30), want.slice(1, 0, 30)) == "");
        for (const Tensor& x : {r.out, r.q, r.k, r.v}) CHECK(row_is_nan(x, 40));

        // All scores of query 2 are -infinity: it gives zeros and reaches no gradient, whatever else it holds.
        Tensor blind_q = q.clone(), positive_k = k.clone(), huge_g = g.clone();
        fill(positive_k.slice(3, 1, 2), 1);
        poison(blind_q, 2, -kInf);
        const AttentionResults zero = run_with(blind_q, positive_k, v, g);
        poison(huge_g, 2, kInf);
        const AttentionResults same = run_with(blind_q, positive_k, v, huge_g);
        check_same(zero, same);
        for (const float x : zero.out.slice(1, 2, 3).to_vector<float>()) CHECK(x == 0);
        CHECK(zero.lse.to_vector<float>()[2] == -kInf);
        for (const Tensor& x : {zero.out, zero.q, zero.k, zero.v})
            for (const float value : x.to_vector<float>()) CHECK(std::isfinite(value));
    }
}

TEST_CASE("attention edges: prefixes of -infinity in a bias, longer than a tile") {
    OracleCase o = normal_case(1, 9, 1000, 1, 16);
    o.bias = Tensor::zeros({1, 1, 9, 1000}).to(test_device());
    for (int64_t i = 0; i < 9; ++i)
        fill(o.bias.select(0, 0).select(0, 0).slice(0, i, i + 1).slice(1, 0, 110 * i),
             -std::numeric_limits<double>::infinity());
    const AttentionOracle want = attention_oracle(o);
    const AttentionResults r = attention_results(o.q, o.k, o.v, o.grad_out, o.bias);
    CHECK(relative_l2(r.out, want.out) <= 2e-6);
    CHECK(relative_l2(r.q, want.grad_q) <= 4e-6);
    CHECK(relative_l2(r.k, want.grad_k) <= 4e-6);
}

TEST_CASE("attention edges: what is not finite reaches only what sees it") {
    for (const float bad : {kNan, kInf, -kInf}) {
        CAPTURE(bad);
        for (const int64_t at : {5, 40}) {
            const Tensor q = normal_tensor({1, 60, 1, 8}, 1), k = normal_tensor({1, 60, 1, 8}, 2),
                         g = normal_tensor({1, 60, 1, 8}, 4);
            Tensor v = normal_tensor({1, 60, 1, 8}, 3);
            const AttentionResults clean = attention_results(q, k, v, g, LowerTriangularMask{});
            poison(v, at, bad);
            const AttentionResults r = attention_results(q, k, v, g, LowerTriangularMask{});
            CHECK(same_bits(r.out.slice(1, 0, at), clean.out.slice(1, 0, at)) == "");
            CHECK(same_bits(r.q.slice(1, 0, at), clean.q.slice(1, 0, at)) == "");
            for (int64_t i = at; i < 60; ++i)
                CHECK(!std::isfinite(r.out.select(0, 0).select(0, i).select(0, 0).to_vector<float>()[1]));
            Tensor bad_k = k.clone(), bad_g = g.clone(), bad_q = q.clone();
            const Tensor fine = normal_tensor({1, 60, 1, 8}, 3);
            poison(bad_k, at, kNan);
            const AttentionResults with_k = attention_results(q, bad_k, fine, g, LowerTriangularMask{});
            CHECK(same_bits(with_k.out.slice(1, 0, at), clean.out.slice(1, 0, at)) == "");
            CHECK(same_bits(with_k.q.slice(1, 0, at), clean.q.slice(1, 0, at)) == "");
            CHECK(row_is_nan(with_k.out, at));
            poison(bad_g, at, kNan);  // keys after query `at` do not feel it
            const AttentionResults with_g = attention_results(q, k, fine, bad_g, LowerTriangularMask{});
            CHECK(same_bits(with_g.v.slice(1, at + 1, 60), clean.v.slice(1, at + 1, 60)) == "");
            CHECK(same_bits(with_g.k.slice(1, at + 1, 60), clean.k.slice(1, at + 1, 60)) == "");
            CHECK(std::isnan(with_g.v.select(0, 0).select(0, at).select(0, 0).to_vector<float>()[1]));
            poison(bad_q, at, bad);
            const AttentionResults with_q = attention_results(bad_q, k, fine, g, LowerTriangularMask{});
            CHECK(same_bits(with_q.out.slice(1, 0, at), clean.out.slice(1, 0, at)) == "");
            CHECK(same_bits(with_q.out.slice(1, at + 1, 60), clean.out.slice(1, at + 1, 60)) == "");
            CHECK(same_bits(with_q.k.slice(1, at + 1, 60), clean.k.slice(1, at + 1, 60)) == "");
        }
    }
}

TEST_CASE("attention edges: NaN beyond the tensors is never read") {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        const auto inside = [&](const Shape& shape, uint64_t seed, float around) {
            Tensor big = Tensor::full({shape[0], shape[1] + 40, shape[2] + 1, shape[3] + 20}, around, dtype)
                             .to(test_device());
            const Tensor view =
                big.slice(1, 20, 20 + shape[1]).slice(2, 0, shape[2]).slice(3, 3, 3 + shape[3]);
            copy(view, normal_tensor(shape, seed, dtype));
            return view;
        };
        for (const int64_t n : {1, 30, 257}) {
            AttentionResults r[2];
            for (int i = 0; i < 2; ++i) {
                const float around = i == 0 ? 0.f : kNan;
                r[i] = attention_results(inside({1, 33, 2, 19}, 1, around), inside({1, n, 2, 19}, 2, around),
                                         inside({1, n, 2, 21}, 3, around), inside({1, 33, 2, 21}, 4, around));
            }
            check_same(r[0], r[1]);
        }
    }
}

TEST_CASE("attention edges: any strides, and expanded gradients") {
    const Tensor q = normal_tensor({2, 40, 3, 16}, 1), k = normal_tensor({2, 50, 3, 16}, 2),
                 v = normal_tensor({2, 50, 3, 16}, 3), g = normal_tensor({2, 40, 3, 16}, 4);
    const AttentionResults plain = attention_results(q, k, v, g);
    const auto heads_first = [](const Tensor& x) {
        return x.permute({0, 2, 1, 3}).contiguous().permute({0, 2, 1, 3});
    };
    const auto size_first = [](const Tensor& x) {
        return x.permute({3, 0, 1, 2}).contiguous().permute({1, 2, 3, 0});
    };
    check_same(plain, attention_results(heads_first(q), heads_first(k), heads_first(v), heads_first(g)));
    check_same(plain, attention_results(size_first(q), size_first(k), size_first(v), size_first(g)));
    const Tensor one = Tensor::full({1, 1, 1, 1}, 1).to(test_device()).expand({2, 40, 3, 16});
    check_same(attention_results(q, k, v, one), attention_results(q, k, v, one.contiguous()));
    const Tensor shared = normal_tensor({2, 50, 1, 16}, 5).expand({2, 50, 3, 16});  // one key head for all
    check_same(attention_results(q, shared, shared, g),
               attention_results(q, shared.contiguous(), shared.contiguous(), g));
}

TEST_CASE("attention edges: gradients of a packed qkv are slices of one buffer") {
    const Packed p = packed_qkv(2, 30, 3, 8, 1);
    const Tensor g = normal_tensor({2, 30, 3, 8}, 2);
    const auto gradients = [&](const Tensor& q, const Tensor& k, const Tensor& v) {
        std::vector<Tensor> grads(3);  // as backward hands them on; a hook would get a copy
        std::vector<Variable> x;
        for (const Tensor& value : {q, k, v})
            x.push_back(record("seen", {Variable(value, true)}, value,
                               [&grads, i = x.size()](const Tensor& grad, const Needs&) {
                                   grads[i] = grad;
                                   return Tensors{grad};
                               }));
        memory_efficient_attention(x[0], x[1], x[2]).backward(g);
        return grads;
    };
    const std::vector<Tensor> r = gradients(p.q, p.k, p.v);
    CHECK(r[0].buffer() == r[1].buffer());
    CHECK(r[0].buffer() == r[2].buffer());
    CHECK(r[1].offset() - r[0].offset() == 24);
    CHECK(r[2].offset() - r[1].offset() == 24);
    CHECK(r[0].strides() == p.q.strides());
    const std::vector<Tensor> apart = gradients(p.q.contiguous(), p.k.contiguous(), p.v.contiguous());
    CHECK(apart[0].buffer() != apart[1].buffer());
    for (size_t i = 0; i < 3; ++i) CHECK(same_bits(r[i], apart[i]) == "");
}

TEST_CASE("attention edges: the number of threads changes no bit") {
    const int threads = num_threads();
    const Packed p = emulated() ? packed_qkv(1, 60, 2, 24, 1) : packed_qkv(3, 150, 4, 24, 1);
    const Packed longer = packed_qkv(1,
                                     emulated() ? 150
                                     : quick()  ? 600
                                                : 2300,
                                     1, 16, 2);  // keys and queries in tasks of their own
    for (const Packed& x : {p, longer}) {
        const Tensor g = normal_tensor(x.q.shape(), 3);
        set_num_threads(1);
        const AttentionResults one = attention_results(x.q, x.k, x.v, g, LowerTriangularMask{});
        for (const int n : {2, 3, 7}) {
            set_num_threads(n);
            check_same(one, attention_results(x.q, x.k, x.v, g, LowerTriangularMask{}));
        }
    }
    set_num_threads(threads);
}

TEST_CASE("attention edges: memory grows with the length, not its square") {
    const auto peak = [](int64_t n) {
        const Packed p = packed_qkv(1, n, 1, 16, 1, DType::f16);
        const Tensor g = normal_tensor(p.q.shape(), 2, DType::f16);
        const int64_t before = allocator_stats().live_bytes;
        reset_peak();
        attention_results(p.q, p.k, p.v, g, {}, {});
        return allocator_stats().peak_bytes - before;
    };
    const int64_t n = emulated() ? 768 : quick() ? 4096 : 16384;
    const int64_t a = peak(n / 2), b = peak(n);
    CHECK(b <= a * 2);
    CHECK(b < n * n / 8);
}

}  // namespace demi::test
