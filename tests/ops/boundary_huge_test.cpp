// Integers of the three operators and their masks that do not fit: always an Error, or what they mean.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/index_support.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"

namespace demi::test {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr double kInf = std::numeric_limits<double>::infinity();

Variable ones(const Shape& shape) { return Variable(Tensor::full(shape, 1).to(test_device()), true); }

}  // namespace

TEST_CASE("integers that do not fit: lengths and groups of a BlockDiagonalMask") {
    const auto seqlens = [](std::vector<int64_t> q, std::vector<int64_t> kv = {}) {
        return error_of([&] { BlockDiagonalMask::from_seqlens(q, kv); });
    };
    CHECK(seqlens({kHuge, kHuge, 7}) == "[memory_efficient_attention] lengths of a BlockDiagonalMask must "
                                        "add up to at most 1099511627776: got "
                                        "9223372036854775807 after 0");
    CHECK(has(seqlens({5, kHuge - 4}), "must add up to"));
    CHECK(has(seqlens({1, 1}, {kHuge, kHuge}), "must add up to"));
    CHECK(has(seqlens({1, -kHuge - 1}), "must not be negative"));
    BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens({3, 3});
    const auto sizes = [&](std::vector<int64_t> batch_sizes, std::vector<int64_t> lengths = {}) {
        return error_of([&] { mask.set_batch_sizes(batch_sizes, lengths); });
    };
    CHECK(has(sizes({kHuge, kHuge, 4}), "must add up to the 2 sequences"));
    CHECK(has(sizes({-1, 3}), "must not be negative"));
    CHECK(has(sizes({1, kHuge}), "must add up to"));
    CHECK(has(sizes({1}), "they add up to 1"));
    CHECK(has(sizes({2}, {4}), "does not fit"));
    CHECK(has(sizes({2, 0}, {3, -1}), "does not fit"));
    CHECK(has(sizes({2}, {3, 3}), "one length for each"));
    CHECK(mask.split(ones({1, 6, 1})).size() == 2);  // as before
}

TEST_CASE("integers that do not fit: windows and segments") {
    const BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens({3, 3});
    // Windows of any size; q sees all that comes before it.
    const Variable q = ones({1, 4, 1, 4}), k = normal_numbers({1, 6, 1, 4}, 1);
    const Tensor want = memory_efficient_attention(q, k, k, LowerTriangularFromBottomRightMask{}).value();
    for (const int64_t window : {kHuge, kHuge - 1, int64_t{1} << 40, int64_t{6}}) {
        CHECK(same_bits(memory_efficient_attention(q, k, k,
                                                   LowerTriangularFromBottomRightLocalAttentionMask{window})
                            .value(),
                        want) == "");
        CHECK(same_bits(
                  memory_efficient_attention(q, k, k, LocalAttentionFromBottomRightMask{window, 0}).value(),
                  want) == "");
        CHECK(same_bits(
                  memory_efficient_attention(
                      q, k, k,
                      BlockDiagonalMask::from_seqlens({4}, {6}).make_local_attention_from_bottomright(window))
                      .value(),
                  want) == "");
    }
    CHECK(same_bits(
              memory_efficient_attention(q, k, k, LocalAttentionFromBottomRightMask{kHuge, kHuge}).value(),
              memory_efficient_attention(q, k, k).value()) == "");
    for (const int64_t bad : {int64_t{0}, int64_t{-1}, -kHuge - 1}) {
        CHECK(error_of([&] { AttentionBias(LowerTriangularFromBottomRightLocalAttentionMask{bad}); }) != "");
        CHECK(error_of([&] { mask.make_local_attention(bad); }) != "");
        CHECK(error_of([&] { mask.make_local_attention_from_bottomright(bad); }) != "");
        if (bad < 0) CHECK(error_of([&] { AttentionBias(LocalAttentionFromBottomRightMask{bad, 0}); }) != "");
        if (bad < 0) CHECK(error_of([&] { AttentionBias(LocalAttentionFromBottomRightMask{0, bad}); }) != "");
    }
    const AttentionBias causal = LowerTriangularFromBottomRightMask{};
    for (const int64_t bad : {kHuge, -kHuge - 1, int64_t{-1}}) {
        CHECK(error_of([&] { causal.segments(1, bad, 1); }) != "");
        CHECK(error_of([&] { causal.segments(1, 1, bad); }) != "");
        CHECK(error_of([&] { causal.materialize(bad, bad); }) != "");
        CHECK(error_of([&] { mask.pattern().segment(0, bad, 0, -kHuge - 1); }) != "");
        CHECK(error_of([&] { mask.pattern().segment(-kHuge - 1, kHuge, bad, 0); }) != "");
    }
}

TEST_CASE("integers that do not fit: sizes of tensors without elements, rows, the scale") {
    // Tensors without elements may have any other sizes.
    for (const Shape& s :
         {Shape{kHuge, 0, kHuge, 4}, Shape{0, int64_t{1} << 40, kHuge, 4}, Shape{kHuge, 0, 1, kHuge}}) {
        const Variable x = ones(s);
        Generator generator{1};
        AttentionOptions options;
        options.dropout = 0.5;
        options.generator = &generator;
        for (const AttentionBias& bias : {AttentionBias(), AttentionBias(ones({1, 1}))}) {
            const AttentionWithLse y = attention_with_lse(x, x, x, bias, options);
            CHECK(y.out.shape() == s);
            y.out.backward(ones(s).value());
            CHECK(x.grad().shape() == s);
        }
    }
    const Variable long_one = ones({0, kHuge, 1, 4});
    CHECK(has(error_of([&] { memory_efficient_attention(long_one, long_one, long_one); }),
              "lengths must be at most"));

    const Variable x = ones({3, 2});
    for (const int64_t bad : {int64_t{3}, kHuge, int64_t{-1}, -kHuge - 1}) {
        CHECK(has(error_of([&] { index_select_cat({x}, {rows_of({0, bad})}); }), "is not a row"));
        CHECK(has(error_of([&] {
                      scaled_index_add(ones({3, 1, 2}), rows_of({bad}), ones({1, 1, 2}));
                  }),
                  "is not a row"));
    }
    const Variable q = ones({1, 4, 1, 4});
    AttentionOptions options;
    for (const double bad : {kInf, -kInf, std::nan(""), 1e39}) {
        options.scale = bad;
        CHECK(has(error_of([&] { memory_efficient_attention(q, q, q, {}, options); }),
                  "scale must be a finite"));
    }
}

}  // namespace demi::test
