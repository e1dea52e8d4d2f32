#include "ops/reduce/reduce_cuda.h"

#include "ops/reduce/reduce_kernels.h"
#include "runtime/cuda/operands.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

void sum(Tensor& out, const Tensor& x, const Tensor& y, double scale) {
    Shape kept, reduced, kept_x, kept_y, reduced_x, reduced_y;
    bool inner_reduced = true;
    for (int d = 0; d < x.rank(); ++d) {
        if (x.shape()[d] == 1) continue;
        inner_reduced = out.shape()[d] == 1;
        const int64_t y_step = y.defined() ? y.strides()[d] : 0;
        Shape& sizes = inner_reduced ? reduced : kept;
        sizes.insert(sizes.rank(), x.shape()[d]);
        Shape& xs = inner_reduced ? reduced_x : kept_x;
        xs.insert(xs.rank(), x.strides()[d]);
        Shape& ys = inner_reduced ? reduced_y : kept_y;
        ys.insert(ys.rank(), y_step);
    }
    gpu_kernels::SumCall call{};
    call.x_type = x.dtype();
    call.y_type = y.defined() ? y.dtype() : call.x_type;
    call.out_type = out.dtype();
    call.x = x.raw();
    call.y = y.defined() ? y.raw() : nullptr;
    call.out = out.mutable_raw();
    call.scale = scale;
    call.kept = gpu::strided<2>(kept, {&kept_x, &kept_y});
    call.reduced = gpu::strided<2>(reduced, {&reduced_x, &reduced_y});
    call.inner_reduced = inner_reduced;
    const int64_t partials = gpu_kernels::sum_partials(call);
    Tensor room;
    const DType total = out.dtype() == DType::i64 ? DType::i64 : DType::f64;
    if (partials > 0) room = Tensor::empty({partials}, total, x.device());
    gpu_kernels::sum(call, partials > 0 ? room.mutable_raw() : nullptr, gpu::current_stream(x.device()));
}

void max(Tensor& values, Tensor& indices, const Tensor& x, bool smallest) {
    gpu_kernels::max_rows(x.dtype(), x.raw(), x.size(0), x.size(1), smallest, values.mutable_raw(),
                          indices.mutable_data<int64_t>(), gpu::current_stream(x.device()));
}

}  // namespace

const ReduceKernels reduce_cuda{sum, max};

}  // namespace demi
