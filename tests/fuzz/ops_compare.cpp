// Without a graph: comparisons, logic, tests of values, and what integers and bools reduce to, exactly.
#include "ops/ops.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

using Pair = std::function<bool(double, double)>;

struct Comparison {
    const char* name;
    Tensor (*op)(const Operand&, const Operand&);
    Pair holds;
};

const std::vector<Comparison>& comparisons() {
    static const std::vector<Comparison> all{
        {"eq", eq, [](double a, double b) { return a == b; }},
        {"ne", ne, [](double a, double b) { return a != b; }},
        {"lt", lt, [](double a, double b) { return a < b; }},
        {"le", le, [](double a, double b) { return a <= b; }},
        {"gt", gt, [](double a, double b) { return a > b; }},
        {"ge", ge, [](double a, double b) { return a >= b; }},
    };
    return all;
}

Num flag(bool on) { return exact(on ? 1 : 0); }

// Any value that is small enough to print, of any dtype.
int anything(Graph& g) {
    const int x = g.find([](const Value& v) { return v.data.size() <= 300; });
    if (x >= 0 && g.dice.chance(0.7)) return x;
    const DType dtype = g.dice.one_of<DType>({DType::boolean, DType::u8, DType::i32, DType::i64, g.dtype()});
    return g.fresh(g.sizes(), dtype, Draw::small_integers);
}

// Another one that broadcasts with x: itself, one like it, or small integers, so that some are equal.
int another(Graph& g, int x) {
    if (g.dice.chance(0.1)) return x;
    if (g.dice.chance(0.3)) return g.beside(x, g.dtype());
    const Sizes here = g.at(x).sizes;
    Sizes s(here.end() - g.dice.below(int64_t(here.size()) + 1), here.end());
    for (int64_t& size : s) size = g.dice.chance(0.3) ? 1 : size;
    const DType dtype = g.dice.one_of<DType>({DType::boolean, DType::u8, DType::i32, DType::i64, g.dtype()});
    return g.fresh(s, dtype, Draw::small_integers);
}

void make_comparison(Graph& g) {
    const Comparison c = g.dice.one_of(comparisons());
    const int a = anything(g);
    if (g.dice.chance(0.4)) {
        const double b = g.dice.one_of<double>({0, 1, -2, 0.1, 2.5});
        const bool left = g.dice.chance(0.5);
        const DType dtype = g.at(a).dtype;
        const double beside = rounded(b, dtype);  // beside integers as it is written
        g.add({.text = left ? say("number", b, c.name) : say(c.name, b),
               .in = {a},
               .run = [=](const Variables& v) { return Variables{left ? c.op(b, v[0]) : c.op(v[0], b)}; },
               .reference =
                   [=](const Grids& in) {
                       return Grids{each(in[0], [&](const Num& x) {
                           return flag(left ? c.holds(beside, x.v) : c.holds(x.v, beside));
                       })};
                   },
               .dtypes = {DType::boolean},
               .cuts = true});
        return;
    }
    const int b = another(g, a);
    const DType dtype = wider(g.at(a).dtype, g.at(b).dtype);
    g.add({.text = c.name,
           .in = {a, b},
           .run = [=](const Variables& v) { return Variables{c.op(v[0], v[1])}; },
           .reference =
               [=](const Grids& in) {
                   return Grids{each(in[0], in[1], [&](const Num& x, const Num& y) {
                       return flag(c.holds(rounded(x.v, dtype), rounded(y.v, dtype)));
                   })};
               },
           .dtypes = {DType::boolean},
           .cuts = true});
}

void make_logic(Graph& g) {
    struct Logic {
        const char* name;
        Tensor (*op)(const Variable&, const Variable&);
        Pair holds;
    };
    static const std::vector<Logic> all{
        {"logical_and", logical_and, [](double a, double b) { return a != 0 && b != 0; }},
        {"logical_or", logical_or, [](double a, double b) { return a != 0 || b != 0; }},
        {"logical_xor", logical_xor, [](double a, double b) { return (a != 0) != (b != 0); }},
    };
    const Logic l = g.dice.one_of(all);
    const int a = anything(g), b = another(g, a);
    g.add({.text = l.name,
           .in = {a, b},
           .run = [=](const Variables& v) { return Variables{l.op(v[0], v[1])}; },
           .reference =
               [=](const Grids& in) {
                   return Grids{each(in[0], in[1],
                                     [&](const Num& x, const Num& y) { return flag(l.holds(x.v, y.v)); })};
               },
           .dtypes = {DType::boolean},
           .cuts = true});
}

void make_test(Graph& g) {
    struct Test {
        const char* name;
        Tensor (*op)(const Variable&);
        bool (*holds)(double);
    };
    static const std::vector<Test> all{
        {"isnan", demi::isnan, [](double x) { return std::isnan(x); }},
        {"isinf", demi::isinf, [](double x) { return std::isinf(x); }},
        {"isfinite", demi::isfinite, [](double x) { return std::isfinite(x); }},
        {"logical_not", logical_not, [](double x) { return x == 0; }},
    };
    const Test t = g.dice.one_of(all);
    g.add({.text = t.name,
           .in = {anything(g)},
           .run = [=](const Variables& v) { return Variables{t.op(v[0])}; },
           .reference =
               [=](const Grids& in) {
                   return Grids{each(in[0], [&](const Num& x) { return flag(t.holds(x.v)); })};
               },
           .dtypes = {DType::boolean},
           .cuts = true});
}

// any, all, and the exact sum of integers, over one dimension or all.
void make_count(Graph& g) {
    const int x = anything(g);
    const Value& v = g.at(x);
    const int64_t kind = g.dice.below(floating(v.dtype) ? 2 : 3);
    const Sizes from = v.sizes;
    const int dim =
        from.empty() || g.dice.chance(0.3) ? -1 : static_cast<int>(g.dice.below(int64_t(from.size())));
    const bool keep = g.dice.chance(0.4);
    const Dims dims = dim < 0 ? Dims() : Dims(dim);
    const auto op = [=](const Variable& in) -> Variable {
        return kind == 0 ? any(in, dims, keep) : kind == 1 ? all(in, dims, keep) : sum(in, dims, keep);
    };
    g.add({.text = say(kind == 0   ? "any"
                       : kind == 1 ? "all"
                                   : "sum",
                       dim, keep),
           .in = {x},
           .run = [op](const Variables& in) { return Variables{op(in[0])}; },
           .reference =
               [=](const Grids& in) {
                   Sizes kept(from.size(), 1);
                   for (size_t d = 0; dim >= 0 && d < from.size(); ++d)
                       if (static_cast<int>(d) != dim) kept[d] = from[d];
                   Grid out(kept, exact(kind == 1 ? 1 : 0));
                   every(from, [&](const Sizes& at) {
                       Num& to = out(at);
                       const double here = in[0](at).v;
                       to = exact(kind == 0   ? (to.v != 0 || here != 0)
                                  : kind == 1 ? (to.v != 0 && here != 0)
                                              : to.v + here);
                   });
                   if (!keep && dim < 0) out.sizes.clear();
                   if (!keep && dim >= 0) out.sizes.erase(out.sizes.begin() + dim);
                   return Grids{out};
               },
           .dtypes = {kind == 2 ? DType::i64 : DType::boolean},
           .cuts = true});
}

}  // namespace

void compare_makers(std::vector<Maker>& all) {
    for (const Maker& m : {Maker{"comparison", 4, make_comparison}, Maker{"logic", 2, make_logic},
                           Maker{"test", 1, make_test}, Maker{"count", 2, make_count}})
        all.push_back(m);
}

}  // namespace demi::fuzz
