// What works on rows: softmax, norms, scales.
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/layer_scale/layer_scale.h"
#include "ops/layernorm/layernorm.h"
#include "ops/softmax/softmax.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

using Line = std::vector<Num>;

Num largest_of(const Line& line) {
    double m = -HUGE_VAL;
    for (const Num& x : line) m = std::max(m, x.v);
    return exact(m);
}

// exp(x - m), 0 for -infinity.
Num raised(const Num& x, const Num& m) { return x.v == -HUGE_VAL ? Num() : exp(x - m); }

// Without a tape: what a row's probabilities are, and how exactly.
Line probabilities(Line x) {
    const Num m = largest_of(x);
    for (Num& v : x) v = raised(exact(v.v), m);
    const Num sum = total(x);
    for (Num& v : x) v = v / sum;
    return x;
}

// The backward of both reads the result, as it was rounded to `stored`. By hand here: d y_j / d x_i = y_j ((i = j) - y_i)
// for softmax, and (i = j) - exp(y_i) for its logarithm; with errors that come from those of y.
Line softmax_of(const Line& x, DType stored) {
    Line y(x.size());  // masked altogether: 0
    if (largest_of(x).v == -HUGE_VAL) return y;
    const Line p = probabilities(x);
    for (size_t j = 0; j < x.size(); ++j) {
        std::vector<Edge> edges;
        for (size_t i = 0; i < x.size(); ++i) {
            const double one = i == j ? 1 : 0, ej = p[j].e + rounding(p[j].v, stored),
                         ei = p[i].e + rounding(p[i].v, stored);
            edges.push_back(
                {x[i].id, p[j].v * (one - p[i].v), ej * std::fabs(one - p[i].v) + p[j].v * ei + 2 * p[j].v});
        }
        y[j] = tape().node(p[j].v, p[j].e, edges.data(), edges.size());
    }
    return y;
}

Line log_softmax_of(const Line& x, DType stored) {
    const Num m = largest_of(x);
    if (m.v == -HUGE_VAL) return Line(x.size(), exact(-HUGE_VAL));
    const Line p = probabilities(x);
    Line parts;
    for (const Num& v : x) parts.push_back(raised(exact(v.v), m));
    const Num lse = log(total(parts));
    Line y;
    for (size_t j = 0; j < x.size(); ++j) {
        const Num value = (exact(x[j].v) - m) - lse;
        std::vector<Edge> edges;
        for (size_t i = 0; i < x.size(); ++i) {
            const Num again = (exact(x[i].v) - m) - lse;
            const double e = p[i].v * (again.e + rounding(again.v, stored) + 4);
            edges.push_back({x[i].id, (i == j ? 1 : 0) - p[i].v, e + 1});
        }
        y.push_back(tape().node(value.v, value.e, edges.data(), edges.size()));
    }
    return y;
}

void make_softmax(Graph& g) {
    const auto fits = [](const Value& v) {
        return floating(v.dtype) && !v.sizes.empty() && !v.finite && v.data.size() < 300;
    };
    int x = g.dice.chance(0.5) ? g.find(fits) : -1;  // what was masked
    if (x < 0 || (x >= 0 &&
                  std::any_of(g.at(x).data.begin(), g.at(x).data.end(), [](double v) { return !(v < 100); })))
        x = g.input_of_rank(1, 4);
    const Sizes from = g.at(x).sizes;
    const size_t dim =
        g.dice.chance(0.6) ? from.size() - 1 : static_cast<size_t>(g.dice.below(int64_t(from.size())));
    const int asked = static_cast<int>(dim) - (g.dice.chance(0.5) ? static_cast<int>(from.size()) : 0);
    const bool logs = g.dice.chance(0.4);
    const DType stored = g.at(x).dtype;
    const auto row = [=](const Line& line) {
        return logs ? log_softmax_of(line, stored) : softmax_of(line, stored);
    };
    g.add({.text = say(logs ? "log_softmax" : "softmax", asked),
           .in = {x},
           .run =
               [=](const Variables& v) {
                   return Variables{logs ? log_softmax(v[0], asked) : softmax(v[0], asked)};
               },
           .reference = [=](const Grids& in) { return Grids{lines(in[0], dim, row)}; },
           .dtypes = {g.at(x).dtype}});
}

// (x - mean) / deviation * weight + bias of one row.
Line layernorm_of(const Line& x, const Grid* weight, const Grid* bias, double eps) {
    const Num n = exact(static_cast<double>(x.size()));
    const Num mean = total(x) / n;
    Line centered, squares;
    for (const Num& v : x) centered.push_back(v - mean);
    for (const Num& v : centered) squares.push_back(v * v);
    const Num r = exact(1) / sqrt(total(squares) / n + number(eps));
    Line y;
    for (size_t i = 0; i < x.size(); ++i) {
        Num v = centered[i] * r;
        if (weight != nullptr) v = v * weight->nums[i];
        if (bias != nullptr) v = v + bias->nums[i];
        y.push_back(v);
    }
    return y;
}

// A parameter of this length beside x: of its dtype, or f32 beside a half.
int parameter(Graph& g, int x, int64_t n) {
    const DType dtype = g.at(x).dtype;
    return g.like({n}, dtype != DType::f64 && g.dice.chance(0.4) ? DType::f32 : dtype, 5);
}

void make_layernorm(Graph& g) {
    const int x = g.input_of_rank(1, 4);
    const int64_t n = g.at(x).sizes.back();
    const bool weight = g.dice.chance(0.7), bias = g.dice.chance(0.6);
    const double eps = g.dice.one_of<double>({1e-6, 1e-5, 0.1});
    const int64_t kind = g.dice.below(4);
    const DType own = g.at(x).dtype;
    const DType to =
        kind == 0 || kind == 3 ? own : g.dice.one_of<DType>({DType::f16, DType::bf16, DType::f32, own});
    std::vector<int> in{x};
    if (kind == 3) in.push_back(g.like(g.at(x).sizes, own));
    const size_t w = in.size();
    if (weight) in.push_back(parameter(g, x, n));
    const size_t b = in.size();
    if (bias) in.push_back(parameter(g, x, n));
    const bool twice = to != own && !(own == DType::f32 && to != DType::f64);  // cast(layernorm(x), to)
    const auto run = [=](const Variables& v) -> Variables {
        const Variable none, &vw = weight ? v[w] : none, &vb = bias ? v[b] : none;
        if (kind == 0) return {layernorm(v[0], vw, vb, eps)};
        if (kind == 1) return {layernorm_as(v[0], to, vw, vb, eps)};
        if (kind == 2) return layernorm_branch(v[0], to, vw, vb, eps);
        return add_layernorm(v[0], v[1], vw, vb, eps);
    };
    const auto reference = [=](const Grids& v) {
        const Grid s = kind == 3 ? each(v[0], v[1], [](const Num& p, const Num& q) { return p + q; }) : v[0];
        Grid y = lines(kind == 3 ? each(s, [&](const Num& p) { return once(p, own); }) : s, s.rank() - 1,
                       [&](const Line& line) {
                           return layernorm_of(line, weight ? &v[w] : nullptr, bias ? &v[b] : nullptr, eps);
                       });
        if (twice) y = each(y, [&](const Num& p) { return once(p, own, true); });
        return kind < 2 ? Grids{y} : Grids{s, y};
    };
    const char* names[] = {"layernorm", "layernorm_as", "layernorm_branch", "add_layernorm"};
    g.add({.text = say(names[kind], to, "weight", weight, "bias", bias, "eps", eps),
           .in = in,
           .run = run,
           .reference = reference,
           .dtypes = kind < 2 ? std::vector<DType>{to} : std::vector<DType>{own, to}});
}

void make_scale(Graph& g) {
    const int x = g.input_of_rank(1, 4);
    const bool adds = g.dice.chance(0.5);
    const int64_t n = g.at(x).sizes.back();
    std::vector<int> in{
        x, g.like({n},
                  g.at(x).dtype == DType::f64
                      ? DType::f64
                      : g.dice.one_of<DType>({DType::f32, g.at(x).dtype, DType::f16, DType::bf16}),
                  5)};
    if (adds) in.push_back(g.like(g.at(x).sizes, g.at(x).dtype));
    g.add({.text = adds ? "layer_scale_add" : "layer_scale",
           .in = in,
           .run =
               [=](const Variables& v) {
                   return Variables{adds ? layer_scale_add(v[2], v[0], v[1]) : layer_scale(v[0], v[1])};
               },
           .reference =
               [=](const Grids& v) {
                   const auto plus = [](const Num& p, const Num& q) { return p + q; };
                   const Grid y = each(v[0], v[1], [](const Num& p, const Num& q) { return p * q; });
                   return Grids{adds ? each(v[2], y, plus) : y};
               },
           .dtypes = {g.at(x).dtype}});
}

void make_l2(Graph& g) {
    const int x = g.input_of_rank(1, 4);
    const double eps = g.dice.one_of<double>({1e-12, 0.5});
    const auto row = [eps](const Line& line) {
        Line squares;
        for (const Num& v : line) squares.push_back(v * v);
        const Num sum = total(squares);
        const Num d = sum.v > eps * eps ? sqrt(sum) : number(eps);
        Line y;
        for (const Num& v : line) y.push_back(v / d);
        return y;
    };
    g.add({.text = say("l2_normalize", eps),
           .in = {x},
           .run = [eps](const Variables& v) { return Variables{l2_normalize(v[0], eps)}; },
           .reference = [row](const Grids& v) { return Grids{lines(v[0], v[0].rank() - 1, row)}; },
           .dtypes = {g.at(x).dtype}});
}

}  // namespace

void row_makers(std::vector<Maker>& all) {
    for (const Maker& m : {Maker{"softmax", 6, make_softmax}, Maker{"layernorm", 7, make_layernorm},
                           Maker{"scale", 4, make_scale}, Maker{"l2", 2, make_l2}})
        all.push_back(m);
}

}  // namespace demi::fuzz
