#include "ops/memory_efficient_attention/attention_mask.h"

#include <doctest/doctest.h>

#include "tests/ops/attention_oracle.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

// The mask as text: one line per query, x where it sees the key.
std::string picture(const AttentionBias& mask, int64_t queries, int64_t keys) {
    const std::vector<float> m = mask.materialize(queries, keys).to_vector<float>();
    std::string text;
    for (int64_t i = 0; i < queries; ++i) {
        for (int64_t j = 0; j < keys; ++j) text += m[static_cast<size_t>(i * keys + j)] == 0 ? 'x' : '.';
        text += i + 1 < queries ? "/" : "";
    }
    return text;
}

std::string message(const std::function<void()>& fn) {
    try {
        fn();
    } catch (const Error& e) {
        return e.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("attention masks: what they show") {
    CHECK(picture({}, 2, 3) == "xxx/xxx");
    CHECK(picture(LowerTriangularMask{}, 3, 4) == "x.../xx../xxx.");
    CHECK(picture(LowerTriangularMask{}, 3, 2) == "x./xx/xx");
    CHECK(picture(LowerTriangularFromBottomRightMask{}, 2, 4) == "xxx./xxxx");
    CHECK(picture(LowerTriangularFromBottomRightMask{}, 3, 2) == "../x./xx");  // the first query sees nothing
    CHECK(picture(LowerTriangularFromBottomRightLocalAttentionMask{2}, 3, 4) == "xx../.xx./..xx");
    CHECK(picture(LocalAttentionFromBottomRightMask{1, 0}, 3, 4) == "xx../.xx./..xx");
    CHECK(picture(LocalAttentionFromBottomRightMask{0, 2}, 3, 4) == ".xxx/..xx/...x");
    const BlockDiagonalMask blocks = BlockDiagonalMask::from_seqlens({2, 0, 3}, {1, 2, 3});
    CHECK(picture(blocks, 5, 6) == "x...../x...../...xxx/...xxx/...xxx");
    CHECK(picture(blocks.make_causal(), 5, 6) == "x...../x...../...x../...xx./...xxx");
    CHECK(picture(blocks.make_causal_from_bottomright(), 5, 6) == "....../x...../...x../...xx./...xxx");
    CHECK(picture(blocks.make_local_attention(2), 5, 6) == "x...../x...../...x../...xx./....xx");
    CHECK(picture(BlockDiagonalMask::from_seqlens({2}, {4}).make_local_attention_from_bottomright(2), 2, 4) ==
          ".xx./..xx");
}

TEST_CASE("attention masks: packing and splitting") {
    const Tensor a = normal_tensor({2, 5, 3}, 1), b = normal_tensor({1, 1, 3}, 2),
                 c = normal_tensor({3, 2, 3}, 3);
    const auto [mask, packed] = BlockDiagonalMask::from_tensor_list({a, b, c});
    CHECK(packed.shape() == Shape{1, 17, 3});
    CHECK(mask.q_seqlens() == std::vector<int64_t>{5, 5, 1, 2, 2, 2});
    CHECK(mask.batch_sizes() == std::vector<int64_t>{2, 1, 3});
    const std::vector<Variable> parts = mask.split(packed);
    REQUIRE(parts.size() == 3);
    CHECK(same_bits(parts[0].value(), a) == "");
    CHECK(same_bits(parts[1].value(), b) == "");
    CHECK(same_bits(parts[2].value(), c) == "");
    CHECK(parts[0].value().buffer() == packed.value().buffer());  // a view

    const auto both = [](const Vars& x) {
        const auto [m, y] = BlockDiagonalMask::from_tensor_list({x[0], x[1], x[0]});
        std::vector<Variable> s = m.split(y);
        return Vars{s[0], s[2]};  // the middle part is not used
    };
    CHECK(gradcheck(both, {a.to(Device::cpu()).to(DType::f64), b.to(Device::cpu()).to(DType::f64)}) == "");

    BlockDiagonalMask lengths = BlockDiagonalMask::from_seqlens({2, 2, 3});
    CHECK(lengths.split(Tensor::zeros({1, 7, 4})).size() == 3);
    lengths.set_batch_sizes({2, 1});
    CHECK(lengths.split(Tensor::zeros({1, 7, 4}))[0].shape() == Shape{2, 2, 4});
    const BlockDiagonalMask cross = BlockDiagonalMask::from_seqlens({2, 1}, {3, 4});
    CHECK(cross.split_queries(Tensor::zeros({1, 3, 1}))[1].shape() == Shape{1, 1, 1});
    CHECK(cross.split_kv(Tensor::zeros({1, 7, 1}))[1].shape() == Shape{1, 4, 1});
}

TEST_CASE("attention masks: a packed call is the calls of its sequences") {
    const int64_t longest = emulated() ? 130 : 257;
    const std::vector<int64_t> lengths{50, 50, 7, 1, longest};
    const Packed p = packed_qkv(1, 108 + longest, 2, 64, 11);
    const Variable all = memory_efficient_attention(p.q, p.k, p.v, BlockDiagonalMask::from_seqlens(lengths));
    int64_t at = 0;
    for (const int64_t n : lengths) {
        const auto part = [&](const Tensor& x) { return x.slice(1, at, at + n); };
        const Variable one = memory_efficient_attention(part(p.q), part(p.k), part(p.v));
        CHECK(same_bits(one.value(), all.value().slice(1, at, at + n)) == "");
        at += n;
    }
}

TEST_CASE("attention: errors that can be acted on") {
    const auto t = [](const Shape& s, DType d = DType::f32) { return Tensor::zeros(s, d); };
    const auto call = [](const Tensor& q, const Tensor& k, const Tensor& v, const AttentionBias& bias = {},
                         AttentionOptions options = {}) {
        return message([&] { memory_efficient_attention(q, k, v, bias, options); });
    };
    const Tensor x = t({1, 6, 2, 4});
    CHECK(call(t({6, 4}), t({6, 4}), t({6, 4})) == "[memory_efficient_attention] needs q, k, v of rank 4 (B, "
                                                   "M, H, K), or all of rank 3 (B, M, K): got q (6, 4), "
                                                   "k (6, 4), v (6, 4)");
    CHECK(call(x, t({1, 6, 2, 4}, DType::i64), x) ==
          "[memory_efficient_attention] k must be a floating-point tensor: got i64 (1, 6, 2, 4) on cpu");
    CHECK(call(x, t({1, 6, 1, 4}), t({1, 6, 1, 4})) ==
          "[memory_efficient_attention] q, k and v must have the same batch size and heads (nothing is "
          "broadcast; use "
          "expand): got q (1, 6, 2, 4), k (1, 6, 1, 4), v (1, 6, 1, 4)");
    CHECK(call(x, t({1, 5, 2, 4}), x) ==
          "[memory_efficient_attention] k and v must have one length: got k (1, 5, 2, 4), v (1, 6, 2, 4)");
    CHECK(call(x, t({1, 6, 2, 3}), x) ==
          "[memory_efficient_attention] q and k must have one head size: got q (1, 6, 2, 4), k (1, 6, 2, 3)");
    CHECK(call(t({1, 6, 2, 0}), t({1, 6, 2, 0}), x) ==
          "[memory_efficient_attention] head sizes must be at least 1: got q (1, 6, 2, 0), v (1, 6, 2, 4)");
    CHECK(call(x, x, x, BlockDiagonalMask::from_seqlens({2, 5})) ==
          "[memory_efficient_attention] the BlockDiagonalMask must cover q and k exactly: its 2 sequences "
          "have 7 queries "
          "and 7 keys, q has 6 and k has 6");
    CHECK(call(t({2, 6, 2, 4}), t({2, 6, 2, 4}), t({2, 6, 2, 4}), BlockDiagonalMask::from_seqlens({6})) ==
          "[memory_efficient_attention] a BlockDiagonalMask needs q, k, v packed into batch size 1: got "
          "batch size 2");
    CHECK(call(x, x, x, t({1, 2, 6, 5})) ==
          "[memory_efficient_attention] the bias must broadcast (see expand) to (1, 2, 6, 6), [batch, heads, "
          "queries, keys], for q (1, 6, 2, 4) and k (1, 6, 2, 4): got (1, 2, 6, 5)");
    AttentionOptions dropout;
    dropout.dropout = 0.1;
    CHECK(call(x, x, x, {}, dropout) ==
          "[memory_efficient_attention] dropout needs a generator (AttentionOptions::generator): got none");
    dropout.dropout = 1.5;
    CHECK(call(x, x, x, {}, dropout) == "[memory_efficient_attention] dropout must be in [0, 1]: got 1.5");
    CHECK(message([] {
              BlockDiagonalMask::from_seqlens({2, -1});
          }) == "[memory_efficient_attention] lengths of a BlockDiagonalMask must not be negative: got -1");
    CHECK(message([] {
              BlockDiagonalMask::from_seqlens({2, 1}, {3});
          }) == "[memory_efficient_attention] a BlockDiagonalMask needs as many key as query sequences: got "
                "2 query and 1 key "
                "sequences");
    CHECK(message([&] {
              BlockDiagonalMask::from_seqlens({2, 3}).split(t({1, 6, 4}));
          }) == "[BlockDiagonalMask::split] needs packed tokens (1, 5, ...): got f32 (1, 6, 4) on cpu");
    CHECK(message([] {
              BlockDiagonalMask::from_seqlens({2, 3}).set_batch_sizes({2});
          }) == "[memory_efficient_attention] sequences of one batch must have one length: sequence 0 has 2 "
                "queries and 2 keys, "
                "sequence 1 has 3 and 3");
    CHECK(message([] { BlockDiagonalMask::from_seqlens({2}).make_local_attention(0); }) ==
          "[memory_efficient_attention] window must be at least 1: got 0");
}

}  // namespace demi::test
