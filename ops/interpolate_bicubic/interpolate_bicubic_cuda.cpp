#include "ops/interpolate_bicubic/interpolate_bicubic_cuda.h"

#include "ops/common/device_table.h"
#include "ops/common/gpu_tensor.h"
#include "ops/interpolate_bicubic/interpolate_bicubic_kernels.h"

namespace demi {
namespace {

void apply(const Tensor& x, const Taps& taps, Tensor& y) {
    TableBuilder builder;
    const size_t start = builder.add(taps.start), index = builder.add(taps.index),
                 weight = builder.add(taps.weight);
    const Tensor table = builder.send(x.device());
    gpu_kernels::apply_taps(x.dtype(),
                            {x.raw(), y.mutable_raw(), table_at<int64_t>(table, start),
                             table_at<int64_t>(table, index), table_at<double>(table, weight), x.size(0),
                             taps.in, taps.out, x.size(2)},
                            gpu_stream(x));
}

}  // namespace

const InterpolateBicubicKernels interpolate_bicubic_cuda{.apply = apply};

}  // namespace demi
