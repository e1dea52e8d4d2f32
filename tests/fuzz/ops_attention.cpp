// Attention with every mask, and the merging of partial attentions.
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/merge_attentions/merge_attentions.h"
#include "tests/fuzz/boundaries.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

struct Problem {
    int64_t batch = 1, heads = 1, queries = 1, keys = 1, width = 1, value_width = 1;
    bool rank3 = false;
};

// Whether query i sees key j.
using Sees = std::function<bool(int64_t i, int64_t j)>;
struct Mask {
    std::string text = "no mask";
    AttentionBias bias;
    Sees sees = [](int64_t, int64_t) { return true; };
};

Mask plain_mask(Graph& g, const Problem& p) {
    const int64_t shift = p.keys - p.queries, window = 1 + g.dice.below(3), left = g.dice.below(3),
                  right = g.dice.below(3);
    switch (g.dice.below(5)) {
    case 0: return {"causal", LowerTriangularMask{}, [](int64_t i, int64_t j) { return j <= i; }};
    case 1:
        return {"causal from the bottom right", LowerTriangularFromBottomRightMask{},
                [=](int64_t i, int64_t j) { return j <= i + shift; }};
    case 2:
        return {say("the last", window), LowerTriangularFromBottomRightLocalAttentionMask{window},
                [=](int64_t i, int64_t j) { return i + shift - window < j && j <= i + shift; }};
    case 3:
        return {say("around", left, right), LocalAttentionFromBottomRightMask{left, right},
                [=](int64_t i, int64_t j) { return i + shift - left <= j && j <= i + shift + right; }};
    default: return {};
    }
}

// Sequences packed one after the other; sets the lengths in p.
Mask packed_mask(Graph& g, Problem& p) {
    std::vector<int64_t> q, k;
    for (int64_t n = g.dice.below(3); n >= 0; --n) q.push_back(g.dice.below(4)), k.push_back(g.dice.below(4));
    if (g.dice.chance(0.5)) k = q;
    p.queries = p.keys = 0;
    for (int64_t n : q) p.queries += n;
    for (int64_t n : k) p.keys += n;
    const BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens(q, k);
    const int64_t kind = g.dice.below(5), window = 1 + g.dice.below(3);
    const BlockDiagonalMask kinds[] = {mask, mask.make_causal(), mask.make_causal_from_bottomright(),
                                       mask.make_local_attention(window),
                                       mask.make_local_attention_from_bottomright(window)};
    const auto sees = [=](int64_t i, int64_t j) {
        size_t block = 0;
        while (i >= q[block]) i -= q[block], j -= k[block], ++block;
        if (j < 0 || j >= k[block]) return false;
        const int64_t at = i + (kind == 2 || kind == 4 ? k[block] - q[block] : 0);
        return kind == 0 || (j <= at && (kind < 3 || at - window < j));
    };
    return {say("blocks", text_of(q), text_of(k), "kind", kind, window), kinds[kind], sees};
}

Sizes bias_sizes(Graph& g, const Problem& p) {
    if (g.dice.chance(0.3)) return {p.queries, p.keys};
    const int64_t batch = g.dice.chance(0.5) ? p.batch : 1;
    if (p.rank3 && g.dice.chance(0.5)) return {batch, p.queries, p.keys};
    return {batch, g.dice.chance(0.5) ? p.heads : 1, p.queries, p.keys};
}

struct Formula {
    Problem p;
    Sees sees;
    bool biased = false, half = false;
    double scale = 1, dropout = 0;
    Generator draw;
    DType stored = DType::f64;  // the result's

    // [B, M, H, K] of a tensor that may lack H.
    const Num& element(const Grid& x, int64_t b, int64_t m, int64_t h, int64_t k) const {
        return p.rank3 ? x({b, m, k}) : x({b, m, h, k});
    }
    const Num& bias(const Grid& x, int64_t b, int64_t h, int64_t i, int64_t j) const {
        return x.rank() == 2 ? x({i, j}) : x.rank() == 3 ? x({b, i, j}) : x({b, h, i, j});
    }

    void row(const Grids& in, int64_t b, int64_t i, int64_t h, Grid& out, Grid& lse) const {
        std::vector<int64_t> seen;
        std::vector<Num> scores;
        double m = -HUGE_VAL;
        for (int64_t j = 0; j < p.keys; ++j) {
            if (!sees(i, j)) continue;
            std::vector<Num> dot;
            for (int64_t k = 0; k < p.width; ++k)
                dot.push_back(entering(element(in[0], b, i, h, k), half) *
                              entering(element(in[1], b, j, h, k), half));
            Num score = total(dot) * number(scale);
            if (biased) score = score + entering(bias(in[3], b, h, i, j), half);
            if (score.v == -HUGE_VAL) continue;
            seen.push_back(j);
            scores.push_back(score);
            m = std::max(m, score.v);
        }
        lse({b, h, i}) = exact(-HUGE_VAL);
        if (seen.empty()) return;
        std::vector<Num> weights;
        for (const Num& s : scores) weights.push_back(exp(exact(s.v) - exact(m)));
        for (size_t n = 0; n < seen.size(); ++n) weights[n].e += weights[n].v * scores[n].e;
        const Num sum = total(weights), z = log(sum) + exact(m);
        std::vector<Edge> edges;
        for (size_t n = 0; n < seen.size(); ++n) {
            weights[n] = weights[n] / sum;
            edges.push_back({scores[n].id, weights[n].v, weights[n].e});
        }
        lse({b, h, i}) = tape().node(z.v, z.e, edges.data(), edges.size());
        std::vector<double> factors(seen.size(), 1);
        for (size_t n = 0; n < seen.size() && dropout > 0; ++n) {
            const int64_t word = ((b * p.heads + h) * p.queries + i) * p.keys + seen[n];
            const float u = to_uniform(random_word(draw.seed, draw.offset, static_cast<uint64_t>(word)));
            factors[n] = u < dropout ? 0 : 1 / (1 - dropout);
        }
        for (int64_t v = 0; v < p.value_width; ++v) {
            std::vector<Num> values;
            for (int64_t j : seen) values.push_back(entering(element(in[2], b, j, h, v), half));
            out(p.rank3 ? Sizes{b, i, v} : Sizes{b, i, h, v}) =
                coming_back(result(scores, weights, factors, values), half);
        }
    }

    // sum of weight * factor * value. By hand: the derivative by a score is weight * (factor * value - result), and reads
    // the result as it was stored.
    Num result(const std::vector<Num>& scores, const std::vector<Num>& weights,
               const std::vector<double>& factors, const std::vector<Num>& values) const {
        std::vector<Num> parts;
        for (size_t n = 0; n < values.size(); ++n)
            parts.push_back(weights[n] * number(factors[n]) * Num{values[n].v, values[n].e, -1});
        const Num y = total(parts);
        const double e = y.e + rounding(y.v, stored) + (half ? rounding(y.v, DType::f16) : 0);
        std::vector<Edge> edges;
        for (size_t n = 0; n < values.size(); ++n) {
            const Num& w = weights[n];
            const double away = factors[n] * values[n].v - y.v,
                         size = std::fabs(factors[n] * values[n].v) + std::fabs(y.v);
            edges.push_back({scores[n].id, w.v * away, w.e * std::fabs(away) + w.v * (e + 4 * size)});
            edges.push_back({values[n].id, w.v * factors[n], (w.e + w.v) * factors[n]});
        }
        return tape().node(y.v, y.e, edges.data(), edges.size());
    }

    Grids operator()(const Grids& in) const {
        Grid out(p.rank3 ? Sizes{p.batch, p.queries, p.value_width}
                         : Sizes{p.batch, p.queries, p.heads, p.value_width});
        Grid lse({p.batch, p.heads, p.queries});
        for (int64_t b = 0; b < p.batch; ++b)
            for (int64_t i = 0; i < p.queries; ++i)
                for (int64_t h = 0; h < p.heads; ++h) row(in, b, i, h, out, lse);
        return {out, lse};
    }
};

Sizes operand(const Problem& p, int64_t length, int64_t width) {
    return p.rank3 ? Sizes{p.batch, length, width} : Sizes{p.batch, length, p.heads, width};
}

// {out, lse}
std::vector<int> add_attention(Graph& g, const Problem& p, const Mask& mask, const std::vector<int>& in,
                               bool biased) {
    const DType first = g.at(in[0]).dtype;
    const Boundary boundary = some_boundary(g);
    Formula f{p, mask.sees, biased, crosses(boundary, first), 1 / std::sqrt(static_cast<double>(p.width)),
              0, {},        first};
    std::optional<double> scale;
    if (g.dice.chance(0.3)) scale = f.scale = g.dice.real(0.2, 1.5);
    if (g.dice.chance(0.2)) f.dropout = g.dice.one_of<double>({0.3, 0.5, 1});
    f.draw = {static_cast<uint64_t>(g.dice.below(1 << 30)), static_cast<uint64_t>(g.dice.below(1000))};
    const AttentionBias masks = mask.bias;
    const auto run = [=](const Variables& v) {
        Generator generator = f.draw;
        AttentionOptions options{scale, f.dropout, &generator, boundary};
        AttentionBias bias = masks;
        if (biased) bias = mask.text == "no mask" ? AttentionBias(v[3]) : masks.add_bias(v[3]);
        const AttentionWithLse y = attention_with_lse(v[0], v[1], v[2], bias, options);
        return Variables{y.out, y.lse};
    };
    const bool strict = f.half && boundary.mode == BoundaryMode::strict;
    return g.add({.text = say("attention", boundary.mode, mask.text, biased ? "biased" : "", "scale", f.scale,
                              "dropout", f.dropout),
                  .in = in,
                  .run = run,
                  .reference = f,
                  .dtypes = {first, computing(first)},
                  .crossing = strict ? DType::f16 : DType::f64});
}

void make_attention(Graph& g) {
    Problem p;
    p.rank3 = g.dice.chance(0.25);
    p.batch = 1 + g.dice.below(2);
    p.heads = p.rank3 ? 1 : 1 + g.dice.below(2);
    p.queries = g.dice.below(5);
    p.keys = g.dice.chance(0.5) ? p.queries : g.dice.below(6);
    p.width = 1 + g.dice.below(6);
    p.value_width = g.dice.chance(0.7) ? p.width : 1 + g.dice.below(6);
    Mask mask;
    bool packed = g.dice.chance(0.25);
    if (packed) {
        p.batch = 1;
        mask = packed_mask(g, p);
    } else {
        mask = plain_mask(g, p);
    }
    const DType first = g.dtype();
    const auto beside = [&] {
        return first == DType::f64 || g.dice.chance(0.8)
                   ? first
                   : g.dice.one_of<DType>({DType::f32, DType::f16, DType::bf16});
    };
    std::vector<int> in{g.like(operand(p, p.queries, p.width), first, 8),
                        g.like(operand(p, p.keys, p.width), beside(), 8),
                        g.like(operand(p, p.keys, p.value_width), beside(), 50)};
    const bool biased = !packed && g.dice.chance(0.4);
    if (biased) in.push_back(g.like(bias_sizes(g, p), beside(), 20));
    const std::vector<int> one = add_attention(g, p, mask, in, biased);
    if (one.empty() || g.dice.chance(0.6)) return;
    // The same queries over other keys, and both together.
    Problem q = p;
    q.keys = g.dice.below(4);
    const Mask second = packed ? Mask{} : plain_mask(g, q);
    in = {in[0], g.like(operand(q, q.keys, q.width), beside(), 8),
          g.like(operand(q, q.keys, q.value_width), beside(), 50)};
    const std::vector<int> two = add_attention(g, q, second, in, false);
    if (two.empty()) return;
    g.add(
        {.text = "merge_attentions",
         .in = {one[0], one[1], two[0], two[1]},
         .run =
             [](const Variables& v) {
                 const AttentionWithLse y = merge_attentions({{v[0], v[1]}, {v[2], v[3]}});
                 return Variables{y.out, y.lse};
             },
         .reference =
             [=](const Grids& in_parts) {
                 Grid out(in_parts[0].sizes), lse(in_parts[1].sizes);
                 every(lse.sizes, [&](const Sizes& at) {
                     const double m = std::max(in_parts[1](at).v, in_parts[3](at).v);
                     lse(at) = exact(m);
                     std::vector<Num> w(2);
                     for (size_t part = 0; part < 2 && m != -HUGE_VAL; ++part) {
                         const Num& mine = in_parts[2 * part + 1](at);
                         if (mine.v != -HUGE_VAL) w[part] = exp(mine - exact(m));
                     }
                     if (m == -HUGE_VAL) return;
                     const Num sum = w[0] + w[1];
                     lse(at) = log(sum) + exact(m);
                     for (int64_t k = 0; k < p.value_width; ++k) {
                         const Sizes place = p.rank3 ? Sizes{at[0], at[2], k} : Sizes{at[0], at[2], at[1], k};
                         out(place) = w[0] / sum * in_parts[0](place) + w[1] / sum * in_parts[2](place);
                         // The backward of lse reads the result as it was stored.
                         const double e = rounding(out(place).v, first);
                         for (size_t part = 0; part < 2; ++part)
                             if (in_parts[2 * part + 1](at).v != -HUGE_VAL)
                                 out(place) =
                                     tape().node(out(place).v, out(place).e,
                                                 {{out(place).id, 1, 0},
                                                  {in_parts[2 * part + 1](at).id, 0, w[part].v / sum.v * e}});
                     }
                 });
                 return Grids{out, lse};
             },
         .dtypes = {first, computing(first)}});
}

}  // namespace

void attention_makers(std::vector<Maker>& all) { all.push_back({"attention", 5, make_attention}); }

}  // namespace demi::fuzz
