// Element by element: functions, arithmetic with broadcasting and numbers, choices.
#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/where.h"
#include "ops/operators.h"
#include "ops/swiglu/swiglu.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

void add_function(Graph& g, const char* name, int x, const std::function<Variable(const Variable&)>& op,
                  const std::function<Num(const Num&)>& formula) {
    g.add({.text = name,
           .in = {x},
           .run = [op](const Variables& v) { return Variables{op(v[0])}; },
           .reference = [formula](const Grids& in) { return Grids{each(in[0], formula)}; },
           .dtypes = {g.at(x).dtype}});
}

Num silu_of(const Num& x) { return x * sigmoid(x); }

// A function whose backward reads its result.
void add_stored(Graph& g, const char* name, int x, Variable (*op)(const Variable&),
                Num (*formula)(const Num&, DType)) {
    const DType dtype = g.at(x).dtype;
    add_function(g, name, x, op, [=](const Num& v) { return formula(v, dtype); });
}

int positive(Graph& g) {
    const int x = g.find([](const Value& v) {
        return floating(v.dtype) && v.finite && v.least > 0.1 && v.positive && v.top < 30;
    });
    return x >= 0 && g.dice.chance(0.8) ? x : g.fresh(g.sizes(), g.dtype(), Draw::positive, 3);
}

void make_function(Graph& g) {
    switch (g.dice.below(12)) {
    case 0: return add_function(g, "neg", g.input(), demi::neg, [](const Num& x) { return -x; });
    case 1: return add_stored(g, "exp", g.input(4), demi::exp, exp);
    case 2: return add_function(g, "log", positive(g), demi::log, [](const Num& x) { return log(x); });
    case 3: return add_stored(g, "sqrt", positive(g), demi::sqrt, sqrt);
    case 4: return add_function(g, "square", g.input(), demi::square, [](const Num& x) { return x * x; });
    case 5:
        return add_function(g, "abs", g.input(1e4), demi::abs, [](const Num& x) {
            return x.v > 0 ? x : x.v < 0 ? -x : exact(0);
        });
    case 6: return add_stored(g, "sigmoid", g.input(), demi::sigmoid, sigmoid);
    case 7: return add_stored(g, "tanh", g.input(), demi::tanh, tanh);
    case 8:
        return add_function(g, "relu", g.input(1e4), demi::relu,
                            [](const Num& x) { return x.v > 0 ? x : exact(0); });
    case 9:
        return add_function(g, "gelu", g.input(), demi::gelu, [](const Num& x) { return x * normal_cdf(x); });
    case 10: return add_function(g, "silu", g.input(), demi::silu, silu_of);
    default: {
        const double p = g.dice.one_of<double>({2, 3, 1, 0.5, -1, 1.7, -0.5, 0});
        const int x = p == 2 || p == 3 || p == 1 || p == 0 ? g.input(10) : positive(g);
        return add_function(
            g, say("pow", p).c_str(), x, [p](const Variable& v) { return demi::pow(v, p); },
            [p, dtype = g.at(x).dtype](const Num& v) {
                return p == 0 ? exact(1) : p == 0.5 ? sqrt(v, dtype) : pow(v, p);
            });
    }
    }
}

void make_clamp(Graph& g) {
    const double low = g.dice.one_of<double>({-1, -0.5, 0}),
                 high = g.dice.one_of<double>({0, 0.5, 1, HUGE_VAL});
    add_function(
        g, say("clamp", low, high).c_str(), g.input(1e4),
        [=](const Variable& v) { return clamp(v, low, high); },
        [=](const Num& x) { return x.v < low    ? exact(low)
                                   : x.v > high ? exact(high)
                                                : x; });
}

void make_swiglu(Graph& g) {
    const int x = g.input_of_rank(1, 4);
    const Sizes sizes = g.at(x).sizes;
    if (sizes.back() % 2 != 0) return;
    g.add({.text = "swiglu",
           .in = {x},
           .run = [](const Variables& v) { return Variables{swiglu(v[0])}; },
           .reference =
               [](const Grids& in) {
                   Sizes half = in[0].sizes;
                   half.back() /= 2;
                   Grid out(half);
                   every(half, [&](const Sizes& at) {
                       Sizes other = at;
                       other.back() += half.back();
                       out(at) = silu_of(in[0](at)) * in[0](other);
                   });
                   return Grids{out};
               },
           .dtypes = {g.at(x).dtype}});
}

void make_number(Graph& g) {
    // The number is taken as the arithmetic's dtype has it; powers of two stay exact.
    const double b = g.dice.one_of<double>({2, 0.5, -1, 0.1, 3.7, -0.3, 0, 0.01});
    const int x = g.input(100);
    switch (g.dice.below(6)) {
    case 0:
        return add_function(
            g, say("add", b).c_str(), x, [b](const Variable& v) { return v + b; },
            [b](const Num& v) { return v + number(b); });
    case 1:
        return add_function(
            g, say("sub", b).c_str(), x, [b](const Variable& v) { return v - b; },
            [b](const Num& v) { return v - number(b); });
    case 2:
        return add_function(
            g, say("number minus", b).c_str(), x, [b](const Variable& v) { return b - v; },
            [b](const Num& v) { return number(b) - v; });
    case 3:
        return add_function(
            g, say("mul", b).c_str(), x, [b](const Variable& v) { return b * v; },
            [b](const Num& v) { return number(b) * v; });
    case 4:
        if (b == 0) return;
        return add_function(
            g, say("div", b).c_str(), x, [b](const Variable& v) { return v / b; },
            [b](const Num& v) { return v / number(b); });
    default:
        return add_function(
            g, say("number over", b).c_str(), positive(g), [b](const Variable& v) { return b / v; },
            [b](const Num& v) { return number(b) / v; });
    }
}

void add_pair(Graph& g, const char* name, int a, int b, Variable (*op)(const Variable&, const Variable&),
              const std::function<Num(const Num&, const Num&)>& formula) {
    if (g.dice.chance(0.3)) std::swap(a, b);
    g.add({.text = name,
           .in = {a, b},
           .run = [op](const Variables& v) { return Variables{op(v[0], v[1])}; },
           .reference = [formula](const Grids& in) { return Grids{each(in[0], in[1], formula)}; },
           .dtypes = {wider(g.at(a).dtype, g.at(b).dtype)}});
}

// The other operand; now and then integers.
int other(Graph& g, int x) {
    if (g.dice.chance(0.08))
        return g.fresh(g.at(x).sizes,
                       g.dice.one_of<DType>({DType::i64, DType::i32, DType::u8, DType::boolean}),
                       Draw::small_integers);
    return g.beside(x, g.dtype());
}

void make_pair(Graph& g) {
    const int x = g.input();
    switch (g.dice.below(6)) {
    case 0:
        return add_pair(g, "add", x, other(g, x), demi::add,
                        [](const Num& a, const Num& b) { return a + b; });
    case 1:
        return add_pair(g, "sub", x, other(g, x), demi::sub,
                        [](const Num& a, const Num& b) { return a - b; });
    case 2:
        return add_pair(g, "mul", x, other(g, x), demi::mul,
                        [](const Num& a, const Num& b) { return a * b; });
    case 3:
        return add_pair(g, "maximum", x, other(g, x), demi::maximum, [](const Num& a, const Num& b) {
            return a.v == b.v ? half_each(a, b) : a.v > b.v ? a : b;
        });
    case 4:
        return add_pair(g, "minimum", x, other(g, x), demi::minimum, [](const Num& a, const Num& b) {
            return a.v == b.v ? half_each(a, b) : a.v < b.v ? a : b;
        });
    default: {
        const Sizes here = g.at(x).sizes;
        Sizes s(here.end() - g.dice.below(int64_t(here.size()) + 1), here.end());
        const int b = g.fresh(s, g.dtype(), Draw::positive, 3);
        g.add({.text = "div",
               .in = {x, b},
               .run = [](const Variables& v) { return Variables{v[0] / v[1]}; },
               .reference =
                   [](const Grids& in) {
                       return Grids{each(in[0], in[1], [](const Num& p, const Num& q) { return p / q; })};
                   },
               .dtypes = {wider(g.at(x).dtype, g.at(b).dtype)}});
    }
    }
}

int condition(Graph& g, int x) {
    Sizes s = g.at(x).sizes;
    for (int64_t& size : s) size = g.dice.chance(0.2) ? 1 : size;
    s.erase(s.begin(), s.begin() + g.dice.below(int64_t(s.size()) + 1));
    return g.fresh(s, g.dice.one_of<DType>({DType::boolean, DType::u8, DType::i32, DType::i64, DType::f32}),
                   Draw::small_integers, 1, false);
}

void make_where(Graph& g) {
    const int a = g.input(100), b = g.beside(a, g.dtype(), 100), c = condition(g, a);
    g.add({.text = "where",
           .in = {c, a, b},
           .run = [](const Variables& v) { return Variables{where(v[0].value(), v[1], v[2])}; },
           .reference =
               [](const Grids& in) {
                   Grid out(stretched(in[0].sizes, stretched(in[1].sizes, in[2].sizes)));
                   every(out.sizes,
                         [&](const Sizes& at) { out(at) = in[0](at).v != 0 ? in[1](at) : in[2](at); });
                   return Grids{out};
               },
           .dtypes = {wider(g.at(a).dtype, g.at(b).dtype)}});
}

void make_masked_fill(Graph& g) {
    const int x = g.input(100), m = condition(g, x);
    const double value = g.dice.one_of<double>({0, -1, 2.5, -HUGE_VAL});
    g.add({.text = say("masked_fill", value),
           .in = {x, m},
           .run = [value](const Variables& v) { return Variables{masked_fill(v[0], v[1].value(), value)}; },
           .reference =
               [value](const Grids& in) {
                   return Grids{each(in[0], in[1], [value](const Num& p, const Num& q) {
                       return q.v != 0 ? exact(value) : p;
                   })};
               },
           .dtypes = {g.at(x).dtype}});
}

void make_cast(Graph& g) {
    const int x = g.input(1000);
    if (g.doubles()) return;
    const DType to = g.dice.one_of<DType>({DType::f32, DType::f64, DType::f16, DType::bf16});
    g.add({.text = say("cast to", to),
           .in = {x},
           .run = [to](const Variables& v) { return Variables{cast(v[0], to)}; },
           .reference = [](const Grids& in) { return in; },
           .dtypes = {to},
           .same = g.at(x).dtype == to});
}

void make_detach(Graph& g) {
    const int x = g.input(100);
    g.add({.text = "detach",
           .in = {x},
           .run = [](const Variables& v) { return Variables{detach(v[0])}; },
           .reference = [](const Grids& in) { return in; },
           .dtypes = {g.at(x).dtype},
           .cuts = true,
           .views = true});
}

}  // namespace

void element_makers(std::vector<Maker>& all) {
    for (const Maker& m :
         {Maker{"function", 16, make_function}, Maker{"clamp", 2, make_clamp},
          Maker{"swiglu", 2, make_swiglu}, Maker{"number", 6, make_number}, Maker{"pair", 16, make_pair},
          Maker{"where", 4, make_where}, Maker{"masked_fill", 3, make_masked_fill},
          Maker{"cast", 5, make_cast}, Maker{"detach", 1, make_detach}})
        all.push_back(m);
}

}  // namespace demi::fuzz
