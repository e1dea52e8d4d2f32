// Cases of attention: every mask, biases, dropout, head sizes, log-sum-exp, merging, packed sequences.
#include <limits>

#include "runtime/copy.h"
#include "tests/bits/crossing.h"

namespace demi::bits {

static Boundary off() {
    Boundary b;
    b.mode = BoundaryMode::off;
    return b;
}

// q, k, v, then a bias where there is one.
static Crossing attention(const std::string& detail, const Shapes& shapes, const AttentionBias& mask,
                          double dropout = 0, bool lse = true) {
    return {"memory_efficient_attention", detail, shapes,
            [=](const Vars& x, const Boundary& boundary) -> Vars {
                Generator generator{13, 1};
                AttentionOptions options;
                options.boundary = boundary;
                options.dropout = dropout;
                if (dropout > 0) options.generator = &generator;
                if (detail.starts_with("scale")) options.scale = 0.3;
                const bool masked = mask.describe() != AttentionBias().describe();
                const AttentionBias bias = x.size() < 4 ? mask
                                           : masked     ? mask.add_bias(x[3])
                                                        : AttentionBias(x[3]);
                if (!lse) return {memory_efficient_attention(x[0], x[1], x[2], bias, options)};
                const AttentionWithLse both = attention_with_lse(x[0], x[1], x[2], bias, options);
                return {both.out, both.lse};
            }};
}

static Shapes qkv(int64_t b, int64_t mq, int64_t mk, int64_t h, int64_t k, int64_t kv) {
    return {{b, mq, h, k}, {b, mk, h, k}, {b, mk, h, kv}};
}

static void attention_masks() {
    const BlockDiagonalMask blocks = BlockDiagonalMask::from_seqlens({7, 1, 0, 12, 3}, {9, 2, 4, 12, 0});
    const BlockDiagonalMask same = BlockDiagonalMask::from_seqlens({5, 18});
    const std::pair<const char*, AttentionBias> masks[] = {
        {"none", {}},
        {"lower", LowerTriangularMask{}},
        {"lower_bottom_right", LowerTriangularFromBottomRightMask{}},
        {"lower_local", LowerTriangularFromBottomRightLocalAttentionMask{4}},
        {"local", LocalAttentionFromBottomRightMask{3, 2}},
        {"blocks", blocks},
        {"blocks_causal", blocks.make_causal()},
        {"blocks_causal_bottom_right", blocks.make_causal_from_bottomright()},
        {"blocks_local", same.make_local_attention(4)},
        {"blocks_local_bottom_right", same.make_local_attention_from_bottomright(3)},
    };
    for (const auto& [name, mask] : masks) {
        const bool packed = mask.is_block_diagonal();
        const int64_t batch = packed ? 1 : 2, keys = !packed ? 31
                                                     : std::string(name).find("local") != std::string::npos
                                                         ? 23
                                                         : 27;
        run("attention_bias", std::string(name) + "/materialize", [&mask = mask, keys] {
            Hash hash;
            hash.tensor(mask.materialize(23, keys));
            return Results{{"y", hash}};
        });
        run_layouts(attention(name, qkv(batch, 23, keys, 2, 16, 24), mask));
        run_crossing(attention(std::string(name) + "_dropout", qkv(batch, 23, keys, 2, 16, 24), mask, 0.2),
                     {DType::f32}, Layout::plain, {}, "strict");
        if (packed) continue;
        for (const Shape& bias :
             Shapes{{batch, 2, 23, keys}, {batch, 1, 23, keys}, {1, 2, 23, keys}, {23, keys}}) {
            Shapes shapes = qkv(batch, 23, keys, 2, 16, 24);
            shapes.push_back(bias);
            run_layouts(attention(std::string(name) + "_bias", shapes, mask));
            run_crossing(attention(std::string(name) + "_bias_dropout", shapes, mask, 0.2), {DType::f16},
                         Layout::plain, {}, "strict");
        }
    }
}

static void attention_shapes() {
    const int64_t sizes[][6] = {{1, 1, 1, 1, 1, 1},       {2, 5, 9, 1, 7, 3},       {1, 65, 65, 3, 64, 64},
                                {1, 130, 300, 1, 64, 64}, {1, 17, 70, 2, 32, 40},   {1, 33, 65, 1, 80, 80},
                                {1, 33, 40, 1, 64, 64},   {1, 9, 20, 1, 128, 128},  {1, 20, 130, 1, 128, 128},
                                {1, 9, 40, 1, 200, 136},  {2, 0, 5, 1, 8, 8},       {2, 5, 0, 1, 8, 8},
                                {1, 2100, 40, 1, 16, 16}, {1, 40, 2100, 1, 16, 16}, {1, 300, 40, 1, 16, 16}};
    for (const auto& s : sizes)
        for (const DType dtype : kFloats)
            for (const auto& [how, boundary] : modes())
                for (const bool lse : {true, false}) {
                    if (!lse && how != "strict") continue;
                    const Shapes shapes = qkv(s[0], s[1], s[2], s[3], s[4], s[5]);
                    run_crossing(attention(lse ? "lse" : "out", shapes, {}, 0, lse), {dtype}, Layout::plain,
                                 boundary, how);
                    run_crossing(
                        attention(lse ? "lower_lse" : "lower_out", shapes, LowerTriangularMask{}, 0, lse),
                        {dtype}, Layout::transposed, boundary, how);
                    if (lse)
                        run_crossing(attention("dropout", shapes, {}, 0.3), {dtype}, Layout::plain, boundary,
                                     how);
                }
    // What is not finite reaches only what sees it; a query whose scores are all -infinity sees nothing.
    for (const DType dtype : kFloats)
        for (const auto& [how, boundary] : modes()) {
            Crossing special = attention("special_lower", qkv(1, 40, 40, 2, 16, 16), LowerTriangularMask{});
            special.numbers.special = special.gradients.special = true;
            run_crossing(special, {dtype}, Layout::plain, boundary, how);
            special = attention("special_local", qkv(1, 40, 70, 1, 64, 64),
                                LocalAttentionFromBottomRightMask{9, 3});
            special.numbers.special = special.gradients.special = true;
            run_crossing(special, {dtype}, Layout::plain, boundary, how);
            Tensor nothing = draw(7, {9, 20}, dtype);
            fill(nothing.slice(0, 3, 5), -std::numeric_limits<double>::infinity());
            run_crossing(attention("blind_rows", qkv(1, 9, 20, 1, 16, 16), nothing), {dtype}, Layout::plain,
                         boundary, how);
        }
    const BlockDiagonalMask sequences = BlockDiagonalMask::from_seqlens({70, 130, 65});
    Shapes biased = qkv(1, 130, 300, 2, 64, 64);
    biased.push_back({1, 2, 130, 300});
    for (const DType dtype : kFloats)
        for (const auto& [how, boundary] : modes()) {
            const auto packed = [&](const char* name, const AttentionBias& mask) {
                run_crossing(attention(name, qkv(1, 265, 265, 2, 64, 64), mask), {dtype}, Layout::plain,
                             boundary, how);
            };
            packed("sequences", sequences);
            packed("sequences_causal", sequences.make_causal());
            packed("sequences_local", sequences.make_local_attention(30));
            run_crossing(attention("bias", biased, {}), {dtype}, Layout::plain, boundary, how);
            run_crossing(
                attention("bias_local_dropout", biased, LocalAttentionFromBottomRightMask{50, 7}, 0.1),
                {dtype}, Layout::stepped, boundary, how);
        }
    const Shapes heads = qkv(2, 9, 11, 2, 16, 16), flat = {{2, 9, 16}, {2, 11, 16}, {2, 11, 16}};
    run_layouts(attention("rank3", flat, {}));
    run_layouts(attention("scale", heads, {}), {{DType::f32, DType::f16, DType::bf16},
                                                {DType::f16, DType::f32, DType::f32},
                                                {DType::bf16, DType::f16, DType::f32},
                                                {DType::f64, DType::f32, DType::f16}});
    run_scales(attention("scales", qkv(1, 9, 20, 1, 16, 16), {}));
    biased = qkv(1, 9, 20, 1, 16, 16);
    biased.push_back({1, 1, 9, 20});
    run_scales(attention("scales_bias", biased, {}));
}

void attention_cases() {
    attention_masks();
    attention_shapes();
    for (const DType dtype : kFloats)
        for (const int parts : {1, 2, 3}) {
            run("merge_attentions", text(DTypes{dtype}) + "/" + std::to_string(parts), [=] {
                Vars leaves;
                std::vector<AttentionWithLse> all;
                for (int i = 0; i < parts; ++i) {
                    leaves.emplace_back(draw(static_cast<uint64_t>(i), {2, 9, 3, 40}, dtype), true);
                    leaves.emplace_back(draw(static_cast<uint64_t>(i + 10), {2, 3, 9},
                                             dtype == DType::f64 ? dtype : DType::f32, {-4, 4}),
                                        true);
                    all.push_back({leaves[leaves.size() - 2], leaves.back()});
                }
                return with_gradients(leaves, [&]() -> Vars {
                    const AttentionWithLse merged = merge_attentions(all);
                    return {merged.out, merged.lse};
                });
            });
            run("block_diagonal", text(DTypes{dtype}) + "/" + std::to_string(parts), [=] {
                Vars leaves;
                for (int i = 0; i < parts; ++i)
                    leaves.emplace_back(draw(static_cast<uint64_t>(i), {i + 1, 5 + 2 * i, 2, 16}, dtype),
                                        true);
                return with_gradients(leaves, [&] {
                    const auto [mask, packed] = BlockDiagonalMask::from_tensor_list(leaves);
                    AttentionOptions options;
                    options.boundary = off();
                    return mask.split(memory_efficient_attention(packed, packed, packed, mask, options));
                });
            });
        }
}

}  // namespace demi::bits
