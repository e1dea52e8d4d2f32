// Sums, means, maxima, and where the maximum is.
#include "ops/reduce/reduce.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

using Line = std::vector<Num>;

struct Reduced {
    Sizes kept;  // with sizes of 1
    Dims dims;   // as the caller names them
    std::vector<bool> gone;
};

Reduced some_dims(Graph& g, const Sizes& from) {
    Reduced r{from, {}, std::vector<bool>(from.size(), false)};
    for (size_t d = 0; d < from.size(); ++d)
        if (g.dice.chance(0.5)) {
            r.gone[d] = true;
            r.dims.push_back(static_cast<int>(d) - (g.dice.chance(0.3) ? static_cast<int>(from.size()) : 0));
        }
    if (r.dims.empty()) r.gone.assign(from.size(), true);  // none named: all
    g.dice.shuffle(r.dims);
    for (size_t d = 0; d < from.size(); ++d)
        if (r.gone[d]) r.kept[d] = 1;
    return r;
}

Grid dropped(Grid grid, const Reduced& r) {
    Sizes left;
    for (size_t d = 0; d < grid.sizes.size(); ++d)
        if (!r.gone[d]) left.push_back(grid.sizes[d]);
    grid.sizes = left;
    return grid;
}

Num first_largest(const Line& list) {
    Num best = list[0];
    for (const Num& x : list)
        if (x.v > best.v) best = x;
    return best;
}

void make_reduction(Graph& g) {
    const int x = g.input(100);
    const Sizes from = g.at(x).sizes;
    const Reduced r = some_dims(g, from);
    const bool keep = g.dice.chance(0.4);
    const int64_t kind = g.dice.below(3);
    int64_t each_of = 1;
    for (size_t d = 0; d < from.size(); ++d) each_of *= r.gone[d] ? from[d] : 1;
    if (kind > 0 && each_of == 0) return;  // of nothing: refused
    const auto op = [=](const Variable& v) {
        return kind == 0 ? sum(v, r.dims, keep) : kind == 1 ? mean(v, r.dims, keep) : max(v, r.dims, keep);
    };
    g.add({.text = say(kind == 0   ? "sum"
                       : kind == 1 ? "mean"
                                   : "max",
                       text_of(Sizes(r.dims.begin(), r.dims.end())), keep),
           .in = {x},
           .run = [op](const Variables& v) { return Variables{op(v[0])}; },
           .reference =
               [=](const Grids& in) {
                   Grid out(r.kept);
                   std::vector<Line> parts(out.nums.size());
                   every(in[0].sizes, [&](const Sizes& at) {
                       parts[static_cast<size_t>(&out(at) - out.nums.data())].push_back(in[0](at));
                   });
                   for (size_t i = 0; i < parts.size(); ++i) {
                       if (kind == 2) out.nums[i] = first_largest(parts[i]);
                       if (kind < 2) out.nums[i] = total(parts[i]);
                       if (kind == 1) out.nums[i] = out.nums[i] / exact(static_cast<double>(each_of));
                   }
                   return Grids{keep ? out : dropped(out, r)};
               },
           .dtypes = {g.at(x).dtype}});
}

void make_argmax(Graph& g) {
    const int x = g.input_of_rank(1, 4, 1e4);
    const Sizes from = g.at(x).sizes;
    const size_t dim = static_cast<size_t>(g.dice.below(int64_t(from.size())));
    if (from[dim] == 0) return;
    g.add(
        {.text = say("argmax", dim),
         .in = {x},
         .run = [dim](const Variables& v) { return Variables{argmax(v[0].value(), static_cast<int>(dim))}; },
         .reference =
             [dim](const Grids& in) {
                 Sizes left = in[0].sizes;
                 left.erase(left.begin() + static_cast<int64_t>(dim));
                 Grid out(left);
                 every(left, [&](const Sizes& at) {
                     Sizes from_here = at;
                     from_here.insert(from_here.begin() + static_cast<int64_t>(dim), 0);
                     Sizes best = from_here;
                     for (int64_t i = 0; i < in[0].sizes[dim]; ++i) {
                         from_here[dim] = i;
                         if (in[0](from_here).v > in[0](best).v) best = from_here;
                     }
                     out(at) = exact(static_cast<double>(best[dim]));
                 });
                 return Grids{out};
             },
         .dtypes = {DType::i64},
         .cuts = true});
}

}  // namespace

void reduction_makers(std::vector<Maker>& all) {
    all.push_back({"reduction", 9, make_reduction});
    all.push_back({"argmax", 1, make_argmax});
}

}  // namespace demi::fuzz
