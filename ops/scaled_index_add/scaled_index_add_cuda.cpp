#include "ops/scaled_index_add/scaled_index_add_cuda.h"

#include <algorithm>

#include "ops/boundary/cast_sums.h"
#include "ops/index/sorted_rows.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

// f64 has kernels of its own.
Storage storage_or_f32(DType dtype) { return dtype == DType::f64 ? Storage::f32 : storage_of(dtype); }

gpu_kernels::AddOperand operand(const Tensor& t, const Cast& cast) {
    if (!t.defined()) return {};
    const Shape& s = t.strides();
    return {t.raw(), s[0], s[1], s[2], storage_or_f32(t.dtype()), cast};
}

// Eight columns at a time.
bool is_wide(const Tensor& t) {
    if (!t.defined()) return true;
    const auto size = static_cast<int64_t>(size_of(t.dtype()));
    const Shape& s = t.strides();
    return t.size(2) % 8 == 0 && s[2] == 1 && gpu_kernels::rows_aligned(t.raw(), s[0], size) &&
           gpu_kernels::rows_aligned(t.raw(), s[1], size);
}

void forward(ScaledIndexAddForward& call, Tensor& out) {
    if (call.input.numel() == 0) return;
    const int64_t B = call.input.size(0), M = call.input.size(1), D = call.input.size(2);
    const bool scaled = call.scaling.defined();
    if (!scaled) call.scaling_cast.count = false;
    DeviceCounters lost(4,
                        counts(call.input_cast) || counts(call.source_cast) || counts(call.scaling_cast) ||
                            counts(call.result_cast),
                        out.device());
    gpu_kernels::AddForward job{};
    job.f64 = out.dtype() == DType::f64;
    job.wide = !job.f64 && is_wide(call.input) && is_wide(call.source) && is_wide(out);
    job.input = operand(call.input, call.input_cast);
    job.source = operand(call.source, call.source_cast);
    job.scaling = scaled ? call.scaling.raw() : nullptr;
    job.scaling_step = scaled ? call.scaling.strides()[0] : 0;
    job.scaling_storage = scaled ? storage_or_f32(call.scaling.dtype()) : Storage::f32;
    job.scaling_cast = call.scaling_cast;
    job.result_cast = call.result_cast;
    job.out = out.mutable_raw();
    job.to = storage_or_f32(out.dtype());
    job.alpha = call.alpha;
    job.M = M;
    job.tiles = gpu_kernels::make_row_tiles(B * M, D);
    job.in_place = call.in_place;
    job.sums = lost[0];
    job.B = B;
    job.listed = call.index.numel();
    job.wide_scaling = scaled && job.scaling_step == 1 && gpu_kernels::rows_aligned(job.scaling, 8, 2);
    const bool quick = gpu_kernels::is_quick(job);
    if (quick && job.listed <= gpu_kernels::kShortList) {
        job.list = job.listed > 0 ? call.index.data<int64_t>() : nullptr;
        gpu_kernels::launch_add_quick(job, gpu::current_stream(out.device()));
    } else {
        const DeviceRows uses(call.index, B);
        job.uses = uses.rows();
        (quick ? gpu_kernels::launch_add_quick : gpu_kernels::launch_add)(job,
                                                                          gpu::current_stream(out.device()));
    }
    lost.add_to(0, call.input_counters);
    lost.add_to(1, call.source_counters);
    lost.add_to(2, call.scaling_counters);
    lost.add_to(3, call.result_counters);
}

void backward(ScaledIndexAddBackward& call, Tensor& grad_source, Tensor& sums) {
    const int64_t M = call.dy.size(1), D = call.dy.size(2), rows = call.index.numel() * M;
    if (sums.defined() && rows == 0) fill(sums, 0);
    if (rows == 0 || D == 0) return;
    const Device device = call.dy.device();
    const bool scaled = call.scaling.defined(), sum = sums.defined();
    gpu_kernels::AddBackward job{};
    job.f64 = call.dy.dtype() == DType::f64;
    job.wide = !job.f64 && is_wide(call.dy) && is_wide(grad_source) && (!sum || is_wide(call.source));
    job.dy = operand(call.dy, call.dy_cast);
    job.source = sum ? operand(call.source, call.source_cast) : gpu_kernels::AddOperand{};
    job.index = call.index.data<int64_t>();
    job.scaling = scaled ? call.scaling.raw() : nullptr;
    job.scaling_step = scaled ? call.scaling.strides()[0] : 0;
    job.scaling_storage = scaled ? storage_or_f32(call.scaling.dtype()) : Storage::f32;
    job.scaling_cast = call.scaling_cast;
    job.exit_cast = call.exit_cast;
    if (grad_source.defined()) {
        job.grad_source = grad_source.mutable_raw();
        job.to = storage_or_f32(grad_source.dtype());
    }
    job.alpha = call.alpha;
    job.M = M;
    job.rows = rows;
    job.columns = D;
    // Without sums any bundle gives the same; these keep all processors busy.
    job.bundle = sum ? std::max(gpu_kernels::kLeastRows, ceil_div(rows, gpu_kernels::kSumTiles))
                     : gpu_kernels::kLeastRows;
    job.bundles = ceil_div(rows, job.bundle);
    Tensor partial;
    if (sum) {
        if (!job.f64) partial = Tensor::empty({job.bundles, D}, DType::f32, device);
        job.partial = job.f64 ? nullptr : partial.mutable_raw();
        job.sums = sums.mutable_raw();
    }
    DeviceCounters lost(2, counts(call.dy_cast) || counts(call.exit_cast), device);
    job.counters = lost[0];
    gpu_kernels::launch_add_backward(job, gpu::current_stream(device));
    lost.add_to(0, call.dy_counters);
    lost.add_to(1, call.exit_counters);
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_cuda{forward, backward};

}  // namespace demi
