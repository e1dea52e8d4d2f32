// Cross-entropy, and the ops that draw random numbers.
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dropout/drop_path.h"
#include "ops/dropout/dropout.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

struct Loss {
    double smoothing = 0;
    int64_t ignore = -1;  // -1: none
    Reduction reduction = Reduction::mean;
    bool soft = false;
    DType inside = DType::f32;  // what the arithmetic reads probabilities as
};

// The loss of one row x, with targets t: log(sum(exp x)) sum t - sum(t x), over classes whose target is not 0.
Num row_loss(const std::vector<Num>& x, const std::vector<Num>& t) {
    double m = -HUGE_VAL;
    for (const Num& v : x) m = std::max(m, v.v);
    std::vector<Num> parts;
    for (const Num& v : x) parts.push_back(v.v == -HUGE_VAL ? Num() : exp(v - exact(m)));
    const Num lse = log(total(parts)) + exact(m);
    Num loss;
    for (size_t c = 0; c < x.size(); ++c)
        if (t[c].v != 0 || t[c].id >= 0) loss = loss + t[c] * (lse - x[c]);
    return loss;
}

Grids loss_of(const Grids& in, const Loss& o) {
    const Grid& x = in[0];
    const int64_t classes = x.size(-1);
    const Sizes rows(x.sizes.begin(), x.sizes.end() - 1);
    Grid each_row(rows);
    int64_t counted = 0;
    every(rows, [&](const Sizes& at) {
        if (!o.soft && in[1](at).v == static_cast<double>(o.ignore)) return;
        ++counted;
        std::vector<Num> line, t;
        Sizes place = at;
        place.push_back(0);
        for (int64_t c = 0; c < classes; ++c) {
            place.back() = c;
            line.push_back(x(place));
            Num p = o.soft ? with_value(in[1](place), rounded(in[1](place).v, o.inside))
                           : exact(in[1](at).v == static_cast<double>(c) ? 1 : 0);
            if (o.smoothing != 0)
                p = p * number(1 - o.smoothing) + number(o.smoothing) / exact(static_cast<double>(classes));
            t.push_back(p);
        }
        each_row(at) = row_loss(line, t);
    });
    if (o.reduction == Reduction::none) return {each_row};
    const Num sum = total(each_row.nums);
    return {Grid({}, o.reduction == Reduction::sum ? sum
                     : counted == 0                ? Num()
                                                   : sum / exact(static_cast<double>(counted)))};
}

void make_cross_entropy(Graph& g) {
    const int x = g.input_of_rank(1, 3, 20);
    const Sizes s = g.at(x).sizes;
    if (s.back() == 0) return;
    Loss o;
    o.smoothing = g.dice.one_of<double>({0, 0, 0.1, 0.5});
    o.reduction = g.dice.one_of<Reduction>({Reduction::mean, Reduction::sum, Reduction::none});
    o.soft = g.dice.chance(0.4);
    o.inside = computing(g.at(x).dtype);
    int target = -1;
    const Sizes rows(s.begin(), s.end() - 1);
    if (o.soft) {
        target = g.fresh(s, g.dice.one_of<DType>({g.at(x).dtype, g.dtype()}), Draw::positive, 1,
                         g.dice.chance(0.5));
    } else {
        std::vector<double> labels(static_cast<size_t>(count(rows)));
        for (double& label : labels) label = static_cast<double>(g.dice.below(s.back()));
        if (!labels.empty() && g.dice.chance(0.3)) o.ignore = static_cast<int64_t>(labels[0]);
        target = g.constant(labels, rows, DType::i64);
    }
    CrossEntropyOptions options{o.smoothing, {}, o.reduction};
    if (o.ignore >= 0) options.ignore_index = o.ignore;
    g.add({.text = say("cross_entropy", o.soft ? "soft" : "hard", "smoothing", o.smoothing, "ignore",
                       o.ignore, "reduction", int(o.reduction)),
           .in = {x, target},
           .run = [options](const Variables& v) { return Variables{cross_entropy(v[0], v[1], options)}; },
           .reference = [o](const Grids& in) { return loss_of(in, o); },
           .dtypes = {computing(g.at(x).dtype)}});
}

// What a draw keeps, from the documented stream: number i of the draw, at least p.
void make_dropout(Graph& g) {
    const bool path = g.dice.chance(0.4);
    const int x = g.input_of_rank(path ? 1 : 0, 4, 100);
    const double p = g.dice.one_of<double>({0, 0.3, 0.5, 0.9, 1});
    const bool training = g.dice.chance(0.8);
    const Generator start{static_cast<uint64_t>(g.dice.below(1 << 30)),
                          static_cast<uint64_t>(g.dice.below(1000))};
    g.add({.text = say(path ? "drop_path" : "dropout", p, training ? "" : "not training"),
           .in = {x},
           .run =
               [=](const Variables& v) {
                   Generator generator = start;
                   return Variables{path ? drop_path(v[0], p, generator, training)
                                         : dropout(v[0], p, generator, training)};
               },
           .reference =
               [=](const Grids& in) {
                   Grid y = in[0];
                   const size_t block =
                       path && y.sizes[0] > 0 ? y.nums.size() / static_cast<size_t>(y.sizes[0]) : 1;
                   for (size_t i = 0; i < y.nums.size(); ++i) {
                       const float u = to_uniform(random_word(start.seed, start.offset, i / block));
                       y.nums[i] = u < p ? Num() : y.nums[i] / number(1 - p);
                   }
                   return Grids{y};
               },
           .dtypes = {g.at(x).dtype},
           .same = p == 0 || !training});
}

}  // namespace

void loss_makers(std::vector<Maker>& all) { all.push_back({"cross_entropy", 4, make_cross_entropy}); }
void random_makers(std::vector<Maker>& all) { all.push_back({"dropout", 3, make_dropout}); }

}  // namespace demi::fuzz
