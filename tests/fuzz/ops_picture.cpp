// Pictures: patches, and resizing by the formulas of PyTorch.
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/patchify/patchify.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

int picture(Graph& g, int64_t patch) {
    const auto fits = [&](const Value& v) {
        return floating(v.dtype) && v.finite && v.top < 100 && v.sizes.size() == 4 && v.data.size() < 300 &&
               v.sizes[2] % patch == 0 && v.sizes[3] % patch == 0;
    };
    const int x = g.find(fits);
    if (x >= 0) return x;
    return g.fresh({1 + g.dice.below(2), 1 + g.dice.below(3), patch * (1 + g.dice.below(3)),
                    patch * (1 + g.dice.below(2))},
                   g.dtype());
}

void make_patchify(Graph& g) {
    const int64_t p = 1 + g.dice.below(3);
    const int x = picture(g, p);
    const Sizes s = g.at(x).sizes;
    const int64_t across = s[3] / p;
    const Sizes rows{s[0], (s[2] / p) * across, s[1] * p * p};
    const std::vector<int> patches = g.add(
        {.text = say("patchify", p),
         .in = {x},
         .run = [p](const Variables& v) { return Variables{patchify(v[0], p)}; },
         .reference =
             [=](const Grids& in) {
                 return Grids{moved(in[0], rows, [&](const Sizes& at) {
                     const int64_t y = at[2] / p % p, x_in = at[2] % p;
                     return Sizes{at[0], at[2] / (p * p), at[1] / across * p + y, at[1] % across * p + x_in};
                 })};
             },
         .dtypes = {g.at(x).dtype}});
    if (patches.empty() || g.dice.chance(0.4)) return;
    const int back = g.like(rows, g.at(x).dtype, 100);
    g.add({.text = say("unpatchify", text_of(s), p),
           .in = {back},
           .run = [=](const Variables& v) { return Variables{unpatchify(v[0], s[1], s[2], s[3], p)}; },
           .reference =
               [=](const Grids& in) {
                   return Grids{moved(in[0], s, [&](const Sizes& at) {
                       return Sizes{at[0], at[2] / p * across + at[3] / p,
                                    (at[1] * p + at[2] % p) * p + at[3] % p};
                   })};
               },
           .dtypes = {g.at(x).dtype}});
}

// The cubic convolution kernel.
double cubic(double t, double a) {
    t = std::fabs(t);
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

// weights[i][j]: how much of input j is in output i.
std::vector<std::vector<double>> weights_of(int64_t in, int64_t out, double factor, bool antialias) {
    const double s = factor > 0 ? 1 / factor : static_cast<double>(in) / static_cast<double>(out);
    std::vector<std::vector<double>> all(static_cast<size_t>(out),
                                         std::vector<double>(static_cast<size_t>(in), 0));
    for (int64_t i = 0; i < out; ++i) {
        std::vector<double>& row = all[static_cast<size_t>(i)];
        const double center = s * (static_cast<double>(i) + 0.5);
        if (antialias && in == out) {
            row[static_cast<size_t>(i)] = 1;
        } else if (antialias) {
            double sum = 0;
            for (int64_t j = 0; j < in; ++j)
                sum += row[static_cast<size_t>(j)] =
                    cubic((static_cast<double>(j) + 0.5 - center) / std::max(s, 1.0), -0.5);
            for (double& w : row) w /= sum;
        } else {
            const double at = std::floor(center - 0.5);
            for (int64_t j = -1; j <= 2; ++j) {
                const int64_t tap = std::clamp<int64_t>(static_cast<int64_t>(at) + j, 0, in - 1);
                row[static_cast<size_t>(tap)] += cubic(center - 0.5 - at - static_cast<double>(j), -0.75);
            }
        }
    }
    return all;
}

void make_bicubic(Graph& g) {
    const bool rows = g.dice.chance(0.4);
    int x = -1;
    Sizes s;  // [N, C, H, W]; as rows H W come first
    if (rows) {
        const int64_t h = 1 + g.dice.below(4), w = 1 + g.dice.below(4), d = 1 + g.dice.below(3);
        x = g.like({h * w, d}, g.dtype(), 100);
        s = {1, d, h, w};
    } else {
        x = picture(g, 1);
        s = g.at(x).sizes;
    }
    if (s[2] == 0 || s[3] == 0) return;
    const int64_t oh = 1 + g.dice.below(6), ow = 1 + g.dice.below(6);
    BicubicOptions o;
    o.antialias = g.dice.chance(0.5);
    if (!o.antialias && g.dice.chance(0.3)) {
        o.scale_h = (static_cast<double>(oh) + 0.1) / static_cast<double>(s[2]);
        o.scale_w = (static_cast<double>(ow) + 0.1) / static_cast<double>(s[3]);
    }
    const auto wh = weights_of(s[2], oh, o.scale_h, o.antialias),
               ww = weights_of(s[3], ow, o.scale_w, o.antialias);
    const Sizes to = rows ? Sizes{oh * ow, s[1]} : Sizes{s[0], s[1], oh, ow};
    g.add({.text = say(rows ? "interpolate_bicubic_rows" : "interpolate_bicubic", text_of(s), "to", oh, ow,
                       o.antialias ? "antialias" : "", o.scale_h, o.scale_w),
           .in = {x},
           .run =
               [=](const Variables& v) {
                   return Variables{rows ? interpolate_bicubic_rows(v[0], s[2], s[3], oh, ow, o)
                                         : interpolate_bicubic(v[0], oh, ow, o)};
               },
           .reference =
               [=](const Grids& in) {
                   Grid out(to);
                   every(to, [&](const Sizes& at) {
                       const size_t i = static_cast<size_t>(rows ? at[0] / ow : at[2]),
                                    j = static_cast<size_t>(rows ? at[0] % ow : at[3]);
                       std::vector<Num> parts;
                       for (int64_t h = 0; h < s[2]; ++h)
                           for (int64_t w = 0; w < s[3]; ++w) {
                               const double weight =
                                   wh[i][static_cast<size_t>(h)] * ww[j][static_cast<size_t>(w)];
                               if (weight == 0) continue;
                               // the weights are sums of products of numbers up to 8
                               const Num pixel =
                                   rows ? in[0]({h * s[3] + w, at[1]}) : in[0]({at[0], at[1], h, w});
                               parts.push_back(Num{weight, 30 + 4 * static_cast<double>(s[2] + s[3]), -1} *
                                               pixel);
                           }
                       out(at) = total(parts);
                   });
                   return Grids{out};
               },
           .dtypes = {g.at(x).dtype}});
}

}  // namespace

void picture_makers(std::vector<Maker>& all) {
    all.push_back({"patchify", 2, make_patchify});
    all.push_back({"bicubic", 2, make_bicubic});
}

}  // namespace demi::fuzz
