// Views, and what puts parts together.
#include "ops/views/concat.h"
#include "ops/views/split.h"
#include "ops/views/views.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

constexpr double kAnySize = 1e4;

// A dimension as a caller may name it.
int named(Graph& g, int dim, size_t rank) { return g.dice.chance(0.3) ? dim - static_cast<int>(rank) : dim; }

void add_move(Graph& g, const std::string& text, int x, bool views,
              const std::function<Variable(const Variable&)>& op, const Sizes& sizes,
              const std::function<Sizes(const Sizes&)>& source) {
    g.add({.text = text,
           .in = {x},
           .run = [op](const Variables& v) { return Variables{op(v[0])}; },
           .reference = [sizes, source](const Grids& in) { return Grids{moved(in[0], sizes, source)}; },
           .dtypes = {g.at(x).dtype},
           .views = views});
}

// A number with as many divisors as it comes.
Sizes factors_of(Graph& g, int64_t n) {
    if (n == 0) return {g.size(), 0};
    Sizes out;
    while (n > 1 && out.size() < 5) {
        int64_t f = 1 + g.dice.below(n);
        while (n % f != 0) --f;
        out.push_back(out.size() == 4 ? n : f);
        n /= out.back();
    }
    if (n > 1) out.back() *= n;
    if (g.dice.chance(0.3)) out.insert(out.begin() + g.dice.below(int64_t(out.size()) + 1), 1);
    return out;
}

void make_reshape(Graph& g) {
    const int x = g.input(kAnySize);
    const Sizes from = g.at(x).sizes, to = factors_of(g, count(from));
    Sizes asked = to;
    if (!to.empty() && count(to) > 0 && g.dice.chance(0.3))
        asked[static_cast<size_t>(g.dice.below(int64_t(to.size())))] = -1;
    const Sizes rows = row_major(from);
    add_move(
        g, say("reshape", text_of(asked)), x, can_view(g.at(x).var.value(), to),
        [asked](const Variable& v) { return reshape(v, shape_of(asked)); }, to,
        [=](const Sizes& at) {
            int64_t flat = 0;
            for (size_t d = 0; d < at.size(); ++d) flat = flat * to[d] + at[d];
            Sizes source(from.size());
            for (size_t d = 0; d < from.size(); ++d) source[d] = flat / rows[d] % from[d];
            return source;
        });
}

void make_order(Graph& g) {
    const int x = g.input_of_rank(2, 5, kAnySize);
    const Sizes from = g.at(x).sizes;
    const size_t n = from.size();
    std::vector<int> order(n);
    for (size_t d = 0; d < n; ++d) order[d] = static_cast<int>(d);
    const bool two = g.dice.chance(0.5);
    const int a = static_cast<int>(g.dice.below(int64_t(n))), b = static_cast<int>(g.dice.below(int64_t(n)));
    if (two)
        std::swap(order[static_cast<size_t>(a)], order[static_cast<size_t>(b)]);
    else
        g.dice.shuffle(order);
    Sizes to(n);
    for (size_t d = 0; d < n; ++d) to[d] = from[static_cast<size_t>(order[d])];
    std::vector<int> asked = order;
    for (int& d : asked) d = named(g, d, n);
    const int p = named(g, a, n), q = named(g, b, n);
    add_move(
        g, two ? say("transpose", p, q) : say("permute", text_of(Sizes(order.begin(), order.end()))), x, true,
        [=](const Variable& v) { return two ? transpose(v, p, q) : permute(v, asked); }, to,
        [=](const Sizes& at) {
            Sizes source(n);
            for (size_t d = 0; d < n; ++d) source[static_cast<size_t>(order[d])] = at[d];
            return source;
        });
}

void make_slice(Graph& g) {
    const int x = g.input_of_rank(1, 5, kAnySize);
    const Sizes from = g.at(x).sizes;
    const size_t dim = static_cast<size_t>(g.dice.below(int64_t(from.size())));
    const int asked = named(g, static_cast<int>(dim), from.size());
    const int64_t begin = g.dice.below(from[dim] + 1), end = begin + g.dice.below(from[dim] - begin + 1);
    if (g.dice.chance(0.4) && from[dim] > 0) {
        const int64_t index = g.dice.below(from[dim]);
        Sizes to = from;
        to.erase(to.begin() + static_cast<int64_t>(dim));
        return add_move(
            g, say("select", asked, index), x, true,
            [=](const Variable& v) { return select(v, asked, index); }, to,
            [=](Sizes at) {
                at.insert(at.begin() + static_cast<int64_t>(dim), index);
                return at;
            });
    }
    const int64_t step = 1 + g.dice.below(3);
    Sizes to = from;
    to[dim] = (end - begin + step - 1) / step;
    add_move(
        g, say("slice", asked, begin, end, step), x, true,
        [=](const Variable& v) { return slice(v, asked, begin, end, step); }, to,
        [=](Sizes at) {
            at[dim] = begin + step * at[dim];
            return at;
        });
}

void make_squeeze(Graph& g) {
    const int x = g.input_of_rank(0, 4, kAnySize);
    const Sizes from = g.at(x).sizes;
    for (size_t d = 0; d < from.size(); ++d)
        if (from[d] == 1 && g.dice.chance(0.5)) {
            Sizes to = from;
            to.erase(to.begin() + static_cast<int64_t>(d));
            const int asked = named(g, static_cast<int>(d), from.size());
            return add_move(
                g, say("squeeze", asked), x, true, [=](const Variable& v) { return squeeze(v, asked); }, to,
                [=](Sizes at) {
                    at.insert(at.begin() + static_cast<int64_t>(d), 0);
                    return at;
                });
        }
    const size_t d = static_cast<size_t>(g.dice.below(int64_t(from.size()) + 1));
    Sizes to = from;
    to.insert(to.begin() + static_cast<int64_t>(d), 1);
    const int asked = named(g, static_cast<int>(d), to.size());
    add_move(
        g, say("unsqueeze", asked), x, true, [=](const Variable& v) { return unsqueeze(v, asked); }, to,
        [=](Sizes at) {
            at.erase(at.begin() + static_cast<int64_t>(d));
            return at;
        });
}

void make_expand(Graph& g) {
    const int x = g.input_of_rank(0, 4, kAnySize);
    const Sizes from = g.at(x).sizes;
    Sizes to = from;
    for (int64_t& size : to)
        if (size == 1) size = g.size();
    if (g.dice.chance(0.5)) to.insert(to.begin(), g.size());
    if (count(to) > 300) return;
    const size_t more = to.size() - from.size();
    add_move(
        g, say("expand", text_of(to)), x, true, [=](const Variable& v) { return expand(v, shape_of(to)); },
        to,
        [=](const Sizes& at) {
            Sizes source(from.size());
            for (size_t d = 0; d < from.size(); ++d) source[d] = from[d] == 1 ? 0 : at[d + more];
            return source;
        });
}

// Pieces along a dimension: where each begins, how long it is, and whether the dimension goes.
void add_pieces(Graph& g, const std::string& text, int x, size_t dim, const std::vector<int64_t>& sizes,
                bool drops, const std::function<Variables(const Variable&)>& op) {
    g.add({.text = text,
           .in = {x},
           .run = [op](const Variables& v) { return op(v[0]); },
           .reference =
               [=](const Grids& in) {
                   Grids out;
                   int64_t begin = 0;
                   for (int64_t size : sizes) {
                       Sizes to = in[0].sizes;
                       to[dim] = size;
                       Grid piece = moved(in[0], to, [&](Sizes at) {
                           at[dim] += begin;
                           return at;
                       });
                       if (drops) piece.sizes.erase(piece.sizes.begin() + static_cast<int64_t>(dim));
                       out.push_back(std::move(piece));
                       begin += size;
                   }
                   return out;
               },
           .dtypes = std::vector<DType>(sizes.size(), g.at(x).dtype),
           .views = true});
}

void make_pieces(Graph& g) {
    const int x = g.input_of_rank(1, 4, kAnySize);
    const Sizes from = g.at(x).sizes;
    const size_t dim = static_cast<size_t>(g.dice.below(int64_t(from.size())));
    const int asked = named(g, static_cast<int>(dim), from.size());
    const int64_t n = from[dim];
    if (n > 6 || n < 1) return;
    const int64_t kind = g.dice.below(3);
    if (kind == 0)
        return add_pieces(g, say("unbind", asked), x, dim, std::vector<int64_t>(static_cast<size_t>(n), 1),
                          true, [=](const Variable& v) { return unbind(v, asked); });
    if (kind == 1) {
        int64_t parts = 1 + g.dice.below(n);
        while (n % parts != 0) --parts;
        return add_pieces(g, say("chunk", parts, asked), x, dim,
                          std::vector<int64_t>(static_cast<size_t>(parts), n / parts), false,
                          [=](const Variable& v) { return chunk(v, parts, asked); });
    }
    std::vector<int64_t> sizes;
    for (int64_t left = n; left > 0 || sizes.empty();) {
        sizes.push_back(g.dice.below(left + 1));  // 0 too
        left -= sizes.back();
        if (sizes.size() == 3) sizes.back() += left, left = 0;
    }
    add_pieces(g, say("split", text_of(sizes), asked), x, dim, sizes, false,
               [=](const Variable& v) { return split(v, sizes, asked); });
}

void make_joined(Graph& g) {
    const bool stacks = g.dice.chance(0.4);
    const int x = g.input_of_rank(stacks ? 0 : 1, 3, kAnySize);
    const Sizes first = g.at(x).sizes;
    const size_t rank = first.size() + stacks;
    const size_t dim = static_cast<size_t>(g.dice.below(int64_t(rank)));
    std::vector<int> in{x};
    DType dtype = g.at(x).dtype;
    for (int64_t n = g.dice.below(3); n > 0; --n) {
        Sizes s = first;
        if (!stacks) s[dim] = g.size();
        if (count(s) > 150) continue;
        in.push_back(g.like(s, g.dtype(), kAnySize));
        dtype = wider(dtype, g.at(in.back()).dtype);
    }
    const int asked = named(g, static_cast<int>(dim), rank);
    g.add({.text = say(stacks ? "stack" : "concat", asked),
           .in = in,
           .run = [=](const Variables& v) { return Variables{stacks ? stack(v, asked) : concat(v, asked)}; },
           .reference =
               [=](Grids parts) {
                   Sizes to = parts[0].sizes;
                   if (stacks) to.insert(to.begin() + static_cast<int64_t>(dim), 1);
                   to[dim] = 0;
                   for (Grid& part : parts) {
                       if (stacks) part.sizes.insert(part.sizes.begin() + static_cast<int64_t>(dim), 1);
                       to[dim] += part.sizes[dim];
                   }
                   Grid out(to);
                   int64_t begin = 0;
                   for (const Grid& part : parts) {
                       every(part.sizes, [&](const Sizes& at) {
                           Sizes place = at;
                           place[dim] += begin;
                           out(place) = part(at);
                       });
                       begin += part.sizes[dim];
                   }
                   return Grids{out};
               },
           .dtypes = {dtype}});
}

}  // namespace

void view_makers(std::vector<Maker>& all) {
    for (const Maker& m :
         {Maker{"reshape", 5, make_reshape}, Maker{"order", 5, make_order}, Maker{"slice", 6, make_slice},
          Maker{"squeeze", 3, make_squeeze}, Maker{"expand", 4, make_expand}})
        all.push_back(m);
}

void join_makers(std::vector<Maker>& all) {
    all.push_back({"pieces", 5, make_pieces});
    all.push_back({"joined", 5, make_joined});
}

}  // namespace demi::fuzz
