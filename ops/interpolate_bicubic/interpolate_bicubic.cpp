#include "ops/interpolate_bicubic/interpolate_bicubic.h"

#include <algorithm>
#include <cmath>

#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"
#include "ops/op.h"
#include "runtime/device_table.h"

namespace demi {

namespace {

// A sparse matrix [out, in] of weights along one axis: row i is index/weight[start[i] .. start[i + 1]).
struct Taps {
    int64_t in = 0, out = 0;
    std::vector<int64_t> start, index;
    std::vector<double> weight;

    // [in, out], each row in order of its outputs
    Taps transposed() const {
        Taps t{out, in, std::vector<int64_t>(static_cast<size_t>(in) + 1), {}, {}};
        t.index.resize(index.size());
        t.weight.resize(index.size());
        for (int64_t j : index) ++t.start[static_cast<size_t>(j) + 1];
        for (size_t j = 1; j < t.start.size(); ++j) t.start[j] += t.start[j - 1];
        std::vector<int64_t> next(t.start.begin(), t.start.end() - 1);
        for (int64_t i = 0; i < out; ++i)
            for (int64_t k = start[static_cast<size_t>(i)]; k < start[static_cast<size_t>(i) + 1]; ++k) {
                const size_t at =
                    static_cast<size_t>(next[static_cast<size_t>(index[static_cast<size_t>(k)])]++);
                t.index[at] = i;
                t.weight[at] = weight[static_cast<size_t>(k)];
            }
        return t;
    }
};

// Keys' cubic with parameter a; 0 from distance 2 on.
double cubic(double x, double a) {
    x = std::fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

void add_plain(Taps& taps, double step, int64_t i) {
    const double at = step * (static_cast<double>(i) + 0.5) - 0.5, below = std::floor(at);
    for (int k = -1; k <= 2; ++k) {
        const double place = std::clamp(below + k, 0.0, static_cast<double>(taps.in - 1));
        taps.index.push_back(static_cast<int64_t>(place));
        taps.weight.push_back(cubic(at - below - k, -0.75));
    }
}

void add_antialiased(Taps& taps, double step, int64_t i) {
    const double stretch = std::max(step, 1.0), center = step * (static_cast<double>(i) + 0.5);
    const double low = std::clamp(center - 2 * stretch + 0.5, 0.0, static_cast<double>(taps.in));
    const double high = std::clamp(center + 2 * stretch + 0.5, 0.0, static_cast<double>(taps.in));
    const size_t first = taps.weight.size();
    double sum = 0;
    for (int64_t j = static_cast<int64_t>(low); j < static_cast<int64_t>(high); ++j) {
        taps.index.push_back(j);
        taps.weight.push_back(cubic((static_cast<double>(j) - center + 0.5) / stretch, -0.5));
        sum += taps.weight.back();
    }
    for (size_t k = first; sum != 0 && k < taps.weight.size(); ++k) taps.weight[k] /= sum;
}

// The weights for one axis; scale 0 means out / in.
Taps bicubic_taps(int64_t in, int64_t out, double scale, bool antialias) {
    Taps taps{in, out, {0}, {}, {}};
    if (antialias && in == out) scale = 0;  // PyTorch leaves such an axis alone, whatever the factor
    const double step = scale > 0 ? 1 / scale : static_cast<double>(in) / static_cast<double>(out);
    for (int64_t i = 0; i < out; ++i) {
        antialias ? add_antialiased(taps, step, i) : add_plain(taps, step, i);
        taps.start.push_back(static_cast<int64_t>(taps.index.size()));
    }
    return taps;
}

constexpr int64_t kMostPixels = int64_t{1} << 20;  // along an axis
constexpr double kMostTaps = 1 << 26;              // of an axis: 1 GiB

bool is_factor(double scale) { return scale == 0 || (scale >= 0x1p-20 && scale <= 0x1p20); }

double most_taps(int64_t in, int64_t out, double scale, bool antialias) {
    const double stretch = antialias && scale > 0 ? 1 / std::min(scale, 1.0) : 1;
    return static_cast<double>(out) * std::min(static_cast<double>(in), 4 * stretch + 2);
}

// One axis after the other: x seen as [outer, h, w, inner].
struct Map {
    int64_t outer, inner;
    Taps h, w;
};

Tensor along(const Tensor& x, int64_t outer, const Taps& taps, int64_t inner) {
    Tensor y = Tensor::empty({outer, taps.out, inner}, x.dtype(), x.device());
    if (y.numel() == 0) return y;
    TableBuilder builder;
    const size_t start = builder.add(taps.start), index = builder.add(taps.index),
                 weight = builder.add(taps.weight);
    const Tensor table = builder.send(x.device());
    interpolate_bicubic_on(x.device())
        .apply({reads(x), writes(y), table_at<int64_t>(table, start), table_at<int64_t>(table, index),
                table_at<double>(table, weight), outer, taps.in, taps.out, inner},
               queue_of(x));
    return y;
}

Tensor apply(const Tensor& x, const Map& map, const Shape& shape) {
    const Tensor wide = x.to(compute_dtype(x.dtype())).contiguous();
    const Tensor high = along(wide, map.outer, map.h, map.w.in * map.inner);
    return along(high, map.outer * map.h.out, map.w, map.inner).view(shape).to(x.dtype());
}

Map make_map(const Op& op, const Variable& x, int64_t outer, int64_t inner, Shape in, Shape out,
             const BicubicOptions& o) {
    op.floats("x", x);
    op.check(in[0] >= 1 && in[1] >= 1 && out[0] >= 1 && out[1] >= 1, "sizes must be at least 1: got ", in[0],
             " x ", in[1], " -> ", out[0], " x ", out[1]);
    op.check(in[0] <= kMostPixels && in[1] <= kMostPixels && out[0] <= kMostPixels && out[1] <= kMostPixels,
             "sizes must be at most 2^20: got ", in[0], " x ", in[1], " -> ", out[0], " x ", out[1]);
    op.check(is_factor(o.scale_h) && is_factor(o.scale_w),
             "scale factors must be from 2^-20 to 2^20, or 0 for none: got ", o.scale_h, " and ", o.scale_w);
    for (const double taps :
         {most_taps(in[0], out[0], o.scale_h, o.antialias), most_taps(in[1], out[1], o.scale_w, o.antialias)})
        op.check(taps <= kMostTaps, "the factors ", o.scale_h, " and ", o.scale_w, " give up to ", taps,
                 " taps for ", in[0], " x ", in[1], " -> ", out[0], " x ", out[1],
                 ": at most 2^26 along an axis");
    return {outer, inner, bicubic_taps(in[0], out[0], o.scale_h, o.antialias),
            bicubic_taps(in[1], out[1], o.scale_w, o.antialias)};
}

Variable run(const Op& op, const Variable& x, const Map& map, const Shape& shape) {
    return op.record(x, apply(x.value(), map, shape),
                     [map = Map{map.outer, map.inner, map.h.transposed(), map.w.transposed()},
                      shape = x.shape()](const Tensor& dy) { return apply(dy, map, shape); });
}

}  // namespace

Variable interpolate_bicubic(const Variable& x, int64_t out_h, int64_t out_w, const BicubicOptions& options) {
    const Op op("interpolate_bicubic");
    op.check(x.defined() && x.rank() == 4, "x must be [N, C, H, W]: got ", x.value());
    const Map map =
        make_map(op, x, x.size(0) * x.size(1), 1, {x.size(2), x.size(3)}, {out_h, out_w}, options);
    return run(op, x, map, {x.size(0), x.size(1), out_h, out_w});
}

Variable interpolate_bicubic_rows(const Variable& x, int64_t in_h, int64_t in_w, int64_t out_h, int64_t out_w,
                                  const BicubicOptions& options) {
    const Op op("interpolate_bicubic_rows");
    op.check(x.defined() && x.rank() == 2 && in_h >= 1 && in_w >= 1 && x.size(0) / in_h == in_w &&
                 x.size(0) % in_h == 0,
             "x must be [", in_h, " * ", in_w, ", D]: got ", x.value());
    const Map map = make_map(op, x, 1, x.size(1), {in_h, in_w}, {out_h, out_w}, options);
    return run(op, x, map, {checked_mul(out_h, out_w, op.name()), x.size(1)});
}

}  // namespace demi
