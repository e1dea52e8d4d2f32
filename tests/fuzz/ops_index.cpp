// Rows by number: index_select, gather, and the two fp16 operators that take rows.
#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/fuzz/boundaries.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

int numbers(Graph& g, const Sizes& sizes, int64_t below) {
    std::vector<double> values(static_cast<size_t>(count(sizes)));
    for (double& v : values) v = static_cast<double>(g.dice.below(below));
    return g.constant(values, sizes, g.dice.chance(0.7) ? DType::i64 : DType::i32);
}

int64_t whole(const Num& n) { return static_cast<int64_t>(n.v); }

void make_index_select(Graph& g) {
    const int x = g.input_of_rank(1, 4, 1e4);
    const Sizes from = g.at(x).sizes;
    const size_t dim = static_cast<size_t>(g.dice.below(int64_t(from.size())));
    if (from[dim] == 0) return;
    const bool gathers = g.dice.chance(0.5);
    Sizes to = from;
    to[dim] = g.size();
    if (count(to) > 300) return;
    const int list = numbers(g, gathers ? to : Sizes{to[dim]}, from[dim]);
    const int asked = static_cast<int>(dim) - (g.dice.chance(0.3) ? static_cast<int>(from.size()) : 0);
    g.add({.text = say(gathers ? "gather" : "index_select", asked),
           .in = {x, list},
           .run =
               [=](const Variables& v) {
                   return Variables{gathers ? gather(v[0], asked, v[1].value())
                                            : index_select(v[0], asked, v[1].value())};
               },
           .reference =
               [=](const Grids& in) {
                   return Grids{moved(in[0], to, [&](Sizes at) {
                       at[dim] = whole(gathers ? in[1](at) : in[1]({at[dim]}));
                       return at;
                   })};
               },
           .dtypes = {g.at(x).dtype}});
}

void make_index_select_cat(Graph& g) {
    std::vector<int> sources, lists;
    DType first = g.dtype();
    int64_t total = 0;
    for (int64_t n = 1 + g.dice.below(3); n > 0; --n) {
        int x = g.find([&](const Value& v) {
            return floating(v.dtype) && v.finite && v.sizes.size() == 2 && v.top < 1000 &&
                   v.data.size() < 200;
        });
        if (x < 0 || g.dice.chance(0.3))
            x = g.fresh({g.size(), g.size()}, sources.empty() ? first : g.dtype());
        // f64 goes with f64: what else it meets is not a matter of this op alone.
        if (sources.empty()) first = g.at(x).dtype;
        if ((g.at(x).dtype == DType::f64) != (first == DType::f64)) continue;
        const int64_t rows = g.at(x).sizes[0], taken = rows == 0 ? 0 : g.dice.below(5);
        sources.push_back(x);
        lists.push_back(numbers(g, {taken}, std::max<int64_t>(rows, 1)));
        total += taken * g.at(x).sizes[1];
    }
    if (sources.empty()) return;
    const size_t n = sources.size();
    const Boundary boundary = some_boundary(g);
    const bool strict = crosses(boundary, first) && boundary.mode == BoundaryMode::strict;
    std::vector<int> in = sources;
    in.insert(in.end(), lists.begin(), lists.end());
    g.add({.text = say("index_select_cat", boundary.mode),
           .in = in,
           .run =
               [=](const Variables& v) {
                   std::vector<Tensor> rows;
                   for (size_t i = n; i < v.size(); ++i) rows.push_back(v[i].value());
                   return Variables{
                       index_select_cat(Variables(v.begin(), v.begin() + int64_t(n)), rows, boundary)};
               },
           .reference =
               [=](const Grids& v) {
                   Grid out({total});
                   size_t at = 0;
                   for (size_t i = 0; i < n; ++i)
                       for (const Num& row : v[n + i].nums)
                           for (int64_t d = 0; d < v[i].sizes[1]; ++d)
                               out.nums[at++] = coming_back(entering(v[i]({whole(row), d}), strict), strict);
                   return Grids{out};
               },
           .dtypes = {first},
           .crossing = strict ? DType::f16 : DType::f64});
}

void make_scaled_index_add(Graph& g) {
    int x = g.find([](const Value& v) {
        return floating(v.dtype) && v.finite && v.sizes.size() == 3 && v.top < 100 && v.data.size() < 300;
    });
    if (x < 0) x = g.fresh({g.size(), g.size(), g.size()}, g.dtype());
    const Sizes s = g.at(x).sizes;
    const DType first = g.at(x).dtype;
    const int64_t taken = s[0] == 0 ? 0 : g.dice.below(4);
    const auto beside = [&] {
        return first == DType::f64
                   ? first
                   : g.dice.one_of<DType>({first, first, DType::f32, DType::f16, DType::bf16, DType::f64});
    };
    const bool scaled = g.dice.chance(0.6);
    const float alpha = g.dice.one_of<float>({1, -0.3f, 2});
    const Boundary boundary = some_boundary(g);
    const bool half = crosses(boundary, first), strict = half && boundary.mode == BoundaryMode::strict;
    std::vector<int> in{x, numbers(g, {taken}, std::max<int64_t>(s[0], 1)),
                        g.like({taken, s[1], s[2]}, beside(), 100)};
    if (scaled) in.push_back(g.like({s[2]}, beside(), 10));
    g.add({.text = say("scaled_index_add", boundary.mode, "alpha", alpha),
           .in = in,
           .run =
               [=](const Variables& v) {
                   return Variables{scaled_index_add(v[0], v[1].value(), v[2], scaled ? v[3] : Variable(),
                                                     alpha, boundary)};
               },
           .reference =
               [=](const Grids& v) {
                   Grid out = each(v[0], [&](const Num& p) { return entering(p, strict); });
                   every(v[2].sizes, [&](const Sizes& at) {
                       Num more = number(static_cast<double>(alpha));
                       if (scaled) more = more * entering(v[3]({at[2]}), half);
                       Sizes to = at;
                       to[0] = whole(v[1].nums[static_cast<size_t>(at[0])]);
                       out(to) = out(to) + coming_back(more * entering(v[2](at), half), half && !strict);
                   });
                   return Grids{each(out, [&](const Num& p) { return coming_back(p, strict); })};
               },
           .dtypes = {first},
           .crossing = strict ? DType::f16 : DType::f64});
}

}  // namespace

void index_makers(std::vector<Maker>& all) {
    for (const Maker& m :
         {Maker{"index_select", 4, make_index_select}, Maker{"index_select_cat", 3, make_index_select_cat},
          Maker{"scaled_index_add", 3, make_scaled_index_add}})
        all.push_back(m);
}

}  // namespace demi::fuzz
