#include "ops/interpolate_bicubic/interpolate_bicubic.h"

#include <algorithm>

#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"
#include "ops/interpolate_bicubic/taps.h"
#include "ops/op.h"
#include "runtime/device_table.h"

namespace demi {

namespace {

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
