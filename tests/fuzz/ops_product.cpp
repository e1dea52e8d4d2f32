// Matrix products and the layers made of them.
#include "ops/linear/linear.h"
#include "ops/matmul/matmul.h"
#include "ops/mlp/mlp.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

Num gelu_of(const Num& x) { return x * normal_cdf(x); }

void swap_last(Sizes& sizes) { std::swap(sizes[sizes.size() - 1], sizes[sizes.size() - 2]); }

Grid turned(const Grid& x) {
    Sizes to = x.sizes;
    swap_last(to);
    return moved(x, to, [](Sizes at) {
        swap_last(at);
        return at;
    });
}

// The matrix product of the last two dimensions, the others broadcast.
Grid product(const Grid& a, const Grid& b) {
    Sizes to =
        stretched(Sizes(a.sizes.begin(), a.sizes.end() - 2), Sizes(b.sizes.begin(), b.sizes.end() - 2));
    to.push_back(a.size(-2));
    to.push_back(b.size(-1));
    Grid out(to);
    every(to, [&](const Sizes& at) {
        Sizes left = at, right = at;
        std::vector<Num> parts;
        for (int64_t k = 0; k < a.size(-1); ++k) {
            left.back() = right[right.size() - 2] = k;
            parts.push_back(a(left) * b(right));
        }
        out(at) = total(parts);
    });
    return out;
}

void make_matmul(Graph& g) {
    const int a = g.input_of_rank(1, 4, 20);
    Sizes s = g.at(a).sizes;
    const bool row = s.size() == 1, ta = !row && g.dice.chance(0.3), tb = g.dice.chance(0.3),
               column = !tb && g.dice.chance(0.15);
    const int64_t k = ta ? s[s.size() - 2] : s.back();
    Sizes t;
    if (!column) {
        if (!row) t.assign(s.begin() + g.dice.below(int64_t(s.size()) - 1), s.end() - 2);
        for (int64_t& size : t) size = g.dice.chance(0.3) ? 1 : size;
        if (row && g.dice.chance(0.3)) t.push_back(g.size());
        t.push_back(k);
        t.push_back(g.size());
        if (tb) swap_last(t);
    } else {
        t = {k};
    }
    if (count(t) > 300) return;
    const int b = g.like(t, g.at(a).dtype, 20);
    g.add({.text = say("matmul", ta ? "a transposed" : "", tb ? "b transposed" : ""),
           .in = {a, b},
           .run =
               [=](const Variables& v) {
                   return Variables{matmul(v[0], v[1], {ta, tb})};
               },
           .reference =
               [=](Grids in) {
                   if (row) in[0].sizes.insert(in[0].sizes.begin(), 1);
                   if (column) in[1].sizes.push_back(1);
                   Grid y = product(ta ? turned(in[0]) : in[0], tb ? turned(in[1]) : in[1]);
                   if (row) y.sizes.erase(y.sizes.end() - 2);
                   if (column) y.sizes.pop_back();
                   return Grids{y};
               },
           .dtypes = {g.at(a).dtype}});
}

// x weight^T + bias, then perhaps gelu, then perhaps a residual; parameters are read in x's dtype.
Grid linear_of(const Grid& x, const Grid& weight, const Grid* bias, DType dtype) {
    const auto read = [dtype](const Num& v) { return with_value(v, rounded(v.v, dtype)); };
    Grid flat = x, w = each(weight, read);
    if (x.rank() == 1) flat.sizes.insert(flat.sizes.begin(), 1);
    Grid y = product(flat, turned(w));
    if (x.rank() == 1) y.sizes.erase(y.sizes.end() - 2);
    if (bias == nullptr) return y;
    return each(y, each(*bias, read), [](const Num& p, const Num& q) { return p + q; });
}

Grid plus(const Grid& a, const Grid& b) {
    return each(a, b, [](const Num& p, const Num& q) { return p + q; });
}

int weight(Graph& g, DType dtype, const Sizes& sizes) {
    return g.like(sizes, dtype != DType::f64 && g.dice.chance(0.3) ? DType::f32 : dtype, 5);
}

void make_linear(Graph& g) {
    const int x = g.input_of_rank(1, 4, 20);
    const DType dtype = g.at(x).dtype;
    const int64_t in = g.at(x).sizes.back(), out = g.size();
    Sizes to = g.at(x).sizes;
    to.back() = out;
    if (count(to) > 300) return;
    const bool bias = g.dice.chance(0.6);
    const int64_t kind = g.dice.below(3);  // plain, gelu, with a residual
    std::vector<int> ids{x, weight(g, dtype, {out, in})};
    if (bias) ids.push_back(weight(g, dtype, {out}));
    if (kind == 2) ids.push_back(g.like(to, dtype));
    g.add({.text = say(kind == 2 ? "linear_add" : "linear", kind == 1 ? "gelu" : "", bias ? "bias" : ""),
           .in = ids,
           .run =
               [=](const Variables& v) {
                   const Variable b = bias ? v[2] : Variable();
                   if (kind == 2) return Variables{linear_add(v.back(), v[0], v[1], b)};
                   return Variables{linear(v[0], v[1], b, kind == 1 ? Activation::gelu : Activation::none)};
               },
           .reference =
               [=](const Grids& v) {
                   Grid y = linear_of(v[0], v[1], bias ? &v[2] : nullptr, dtype);
                   if (kind == 1) y = each(y, [&](const Num& u) { return gelu_of(once(u, dtype, true)); });
                   return Grids{kind == 2 ? plus(v.back(), y) : y};
               },
           .dtypes = {dtype}});
}

void make_mlp(Graph& g) {
    const int x = g.input_of_rank(1, 3, 10);
    const DType dtype = g.at(x).dtype;
    const int64_t in = g.at(x).sizes.back(), hidden = g.size(), out = g.size();
    Sizes to = g.at(x).sizes;
    to.back() = out;
    if (count(to) > 200) return;
    const bool b1 = g.dice.chance(0.6), b2 = g.dice.chance(0.6), adds = g.dice.chance(0.4);
    std::vector<int> ids{x, weight(g, dtype, {hidden, in}), weight(g, dtype, {out, hidden})};
    if (b1) ids.push_back(weight(g, dtype, {hidden}));
    const size_t second = ids.size();
    if (b2) ids.push_back(weight(g, dtype, {out}));
    if (adds) ids.push_back(g.like(to, dtype));
    g.add({.text = say(adds ? "mlp_add" : "mlp", b1 ? "b1" : "", b2 ? "b2" : ""),
           .in = ids,
           .run =
               [=](const Variables& v) {
                   const Variable p = b1 ? v[3] : Variable(), q = b2 ? v[second] : Variable();
                   return Variables{adds ? mlp_add(v.back(), v[0], v[1], p, v[2], q)
                                         : mlp(v[0], v[1], p, v[2], q)};
               },
           .reference =
               [=](const Grids& v) {
                   Grid h = linear_of(v[0], v[1], b1 ? &v[3] : nullptr, dtype);
                   h = each(h, [&](const Num& u) { return once(gelu_of(once(u, dtype, true)), dtype); });
                   const Grid y = linear_of(h, v[2], b2 ? &v[second] : nullptr, dtype);
                   return Grids{adds ? plus(v.back(), y) : y};
               },
           .dtypes = {dtype}});
}

}  // namespace

void product_makers(std::vector<Maker>& all) {
    for (const Maker& m :
         {Maker{"matmul", 6, make_matmul}, Maker{"linear", 5, make_linear}, Maker{"mlp", 2, make_mlp}})
        all.push_back(m);
}

}  // namespace demi::fuzz
