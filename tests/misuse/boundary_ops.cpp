// The three fp16 operators, their masks and the boundary.
#include <sstream>

#include "ops/boundary/boundary.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/merge_attentions/merge_attentions.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

void boundary_walks(Walks& walks) {
    walks.add(
        "GradScale::none GradScale::automatic GradScale::fixed GradScale::operator== GradScale::choose",
        [](int k, double bound) {
            (void)(GradScale::none().choose(bound) + GradScale::automatic().choose(bound));
            return GradScale::fixed(k).choose(bound) + (GradScale::fixed(k) == GradScale::none());
        },
        3, 1.0);
    walks.add(
        "parse_boundary_mode", [](std::string text) { return parse_boundary_mode(text); },
        std::string("wide"));
    walks.add(
        "name operator<<",
        [](BoundaryMode mode, Direction direction) {
            std::ostringstream out;
            out << mode << name(mode) << name(direction);
            return out.str();
        },
        BoundaryMode::off, Direction::forward);
    walks.add(
        "boundary_counters boundary_report reset_boundary_counters set_boundary_counting boundary_counting",
        [](bool on, Boundary boundary, std::string site, Tensor x) {
            set_boundary_counting(on);
            boundary.site = site;
            use(index_select_cat({x}, {indices({0})}, boundary));
            (void)(boundary_counters(), boundary_counting());
            const std::string report = boundary_report() + boundary_report(boundary_counters());
            reset_boundary_counters();
            set_boundary_counting(true);
            return report;
        },
        true, Boundary(), std::string("site"), tensor({2, 3}));
}

void index_walks(Walks& walks) {
    walks.add(
        "index_select_cat",
        [](Vars sources, Tensors lists, Boundary b) { return index_select_cat(sources, lists, b); },
        Vars{variable({2, 3}), variable({4, 2})}, Tensors{indices({1}), indices({3, 3})}, Boundary());
    walks.add(
        "index_select_cat",
        [](Variable source, Tensor list, Boundary b) { return index_select_cat({source}, {list}, b); },
        variable({2, 3}), indices({1}), Boundary());
    walks.add(
        "scaled_index_add",
        [](Variable x, Tensor list, Variable source, Variable scaling, float alpha, Boundary b) {
            return scaled_index_add(x, list, source, scaling, alpha, b);
        },
        variable({2, 3, 4}), indices({1}), variable({1, 3, 4}), variable({4}), 1.0f, Boundary());
    walks.add(
        "scaled_index_add_",
        [](Tensor x, Tensor list, Tensor source, Tensor scaling, float alpha, Boundary b) {
            scaled_index_add_(x, list, source, scaling, alpha, b);
        },
        tensor({2, 3, 4}), indices({1}), tensor({1, 3, 4}), tensor({4}), 1.0f, Boundary());
}

void mask_walks(Walks& walks) {
    walks.add(
        "AttentionSegment::queries AttentionSegment::keys",
        [](int64_t begin, int64_t end) {
            const AttentionSegment s{begin / 2, end / 2, begin / 2, end / 2};
            return s.queries() == s.keys();
        },
        1, 3);
    walks.add(
        "BlockDiagonalMask::from_seqlens BlockDiagonalMask::total_queries BlockDiagonalMask::total_keys "
        "BlockDiagonalMask::q_seqlens BlockDiagonalMask::kv_seqlens BlockDiagonalMask::batch_sizes "
        "BlockDiagonalMask::pattern BlockDiagonalMask::set_batch_sizes BlockDiagonalMask::split "
        "BlockDiagonalMask::split_queries BlockDiagonalMask::split_kv",
        [](Ints q, Ints kv, bool set, Ints sizes, Variable packed, int part) {
            BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens(q, kv);
            (void)(mask.total_queries(), mask.total_keys(), mask.q_seqlens(), mask.kv_seqlens());
            if (set) mask.set_batch_sizes(sizes);
            (void)(mask.batch_sizes(), mask.pattern());
            return part == 0   ? mask.split(packed)
                   : part == 1 ? mask.split_queries(packed)
                               : mask.split_kv(packed);
        },
        Ints{2, 1}, Ints{2, 1}, true, Ints{1, 1}, variable({1, 3, 4}), 0);
    walks.add(
        "BlockDiagonalMask::from_seqlens",
        [](Ints lengths, Variable packed) {
            const BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens(lengths);
            use(memory_efficient_attention(packed, packed, packed, mask));
            return mask.split(packed);
        },
        Ints{2, 1}, variable({1, 3, 1, 4}));
    walks.add(
        "BlockDiagonalMask::from_tensor_list",
        [](Vars list) {
            const auto [mask, packed] = BlockDiagonalMask::from_tensor_list(list);
            return mask.split(packed);
        },
        Vars{variable({1, 2, 3}), variable({2, 1, 3})});
    walks.add(
        "BlockDiagonalMask::make_causal BlockDiagonalMask::make_causal_from_bottomright "
        "BlockDiagonalMask::make_local_attention BlockDiagonalMask::make_local_attention_from_bottomright",
        [](Ints q, Ints kv, int kind, int64_t window, int64_t queries, int64_t keys) {
            const BlockDiagonalMask m = BlockDiagonalMask::from_seqlens(q, kv);
            const BlockDiagonalMask all[] = {m.make_causal(), m.make_causal_from_bottomright(),
                                             m.make_local_attention(window),
                                             m.make_local_attention_from_bottomright(window)};
            return AttentionBias(all[kind & 3]).segments(1, queries, keys).size();
        },
        Ints{2, 1}, Ints{3, 1}, 0, 2, 3, 4);
    walks.add(
        "AttentionBias::AttentionBias AttentionBias::add_bias AttentionBias::tensor "
        "AttentionBias::is_block_diagonal "
        "AttentionBias::describe",
        [](AttentionBias bias, Variable tensor) {
            const AttentionBias both = bias.add_bias(tensor);
            (void)(both.tensor(), both.is_block_diagonal());
            return both.describe();
        },
        AttentionBias(LowerTriangularMask()), variable({2, 3}));
    walks.add(
        "AttentionBias::segments",
        [](AttentionBias bias, int64_t batch, int64_t queries, int64_t keys) {
            return bias.segments(batch < 1000 ? batch : 1000, queries, keys).size();
        },
        AttentionBias(LowerTriangularMask()), 1, 2, 3);
    walks.add(
        "AttentionBias::materialize",
        [](AttentionBias bias, int64_t queries, int64_t keys) { return bias.materialize(queries, keys); },
        AttentionBias(LowerTriangularMask()), 2, 3);
    walks.add(
        "AttentionPattern::segment",
        [](bool right, int64_t before, int64_t after, int64_t a, int64_t b, int64_t c, int64_t d) {
            return AttentionPattern{right, before, after, "x"}.segment(a, b, c, d);
        },
        true, -1, 0, 0, 2, 0, 3);
}

void attention_walks(Walks& walks) {
    walks.add(
        "memory_efficient_attention",
        [](Variable q, Variable k, Variable v, AttentionBias bias, std::optional<double> scale,
           double dropout, Generator* generator, Boundary boundary) {
            return memory_efficient_attention(q, k, v, bias, {scale, dropout, generator, boundary});
        },
        variable({1, 2, 2, 4}), variable({1, 3, 2, 4}), variable({1, 3, 2, 4}), AttentionBias(),
        std::optional<double>(), 0.0, static_cast<Generator*>(nullptr), Boundary());
    walks.add(
        "attention_with_lse",
        [](Variable q, Variable k, Variable v, AttentionBias bias, double dropout, Boundary boundary) {
            Generator g{1};
            const AttentionWithLse both = attention_with_lse(q, k, v, bias, {{}, dropout, &g, boundary});
            use(both.lse);
        },
        variable({1, 2, 4}), variable({1, 3, 4}), variable({1, 3, 4}), AttentionBias(), 0.1, Boundary());
    walks.add(
        "merge_attentions",
        [](Variable a, Variable lse_a, Variable b, Variable lse_b, int count) {
            std::vector<AttentionWithLse> parts{{a, lse_a}, {b, lse_b}};
            parts.resize(count < 0 || count > 9 ? 2 : static_cast<size_t>(count));
            return merge_attentions(parts).out;
        },
        variable({1, 2, 3, 4}), variable({1, 3, 2}), variable({1, 2, 3, 4}), variable({1, 3, 2}), 2);
}

}  // namespace

void boundary_op_walks(Walks& walks) {
    boundary_walks(walks);
    index_walks(walks);
    mask_walks(walks);
    attention_walks(walks);
}

}  // namespace demi::test
