#include "ops/scaled_index_add/scaled_index_add_casts.h"

#include <algorithm>
#include <cmath>

#include "ops/boundary/boundary_call.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"

namespace demi {
namespace {

constexpr const char* kOp = "scaled_index_add";

// `tensor` carries 2^k, which the message leaves out.
Overflow find_in(const char* operand, const Tensor& tensor, float scale, int k = 0) {
    const auto found = find_overflow(tensor, scale);
    return found ? Overflow{std::string(operand) + " " + found->place, std::ldexp(found->value, -k)}
                 : Overflow{operand, 0};
}

// k of a result whose bound is known, near enough to the k it already carries for 2^(difference) to be a
// normal float.
int exit_exponent(const GradScale& scale, double bound, int k) {
    return std::clamp(scale.choose(bound), k - 126, k + 126);
}

Tensor half_of(const Tensor& tensor, const Cast& cast) {
    return tensor.defined() && cast.round ? cast_to_half(tensor, cast) : tensor;
}

void run(ScaledIndexAddForward& job, Tensor& out) {
    DEMI_SELECT(scaled_index_add, out.device(), forward)(job, out);
}

// The job, its operands or (explicit) their fp16 copies with the counts of making them.
ScaledIndexAddForward job_of(const ScaledIndexAddCall& c, const BoundaryCall& call,
                             const ScaledIndexAddCall::Operands& x) {
    ScaledIndexAddForward job;
    job.index = c.index;
    job.alpha = c.alpha;
    const bool strict = c.boundary.mode == BoundaryMode::strict;
    if (strict) job.input_cast = call.entry(x.input.dtype());
    job.source_cast = call.entry(x.source.dtype());
    if (x.scaling.defined()) job.scaling_cast = call.entry(x.scaling.dtype());
    job.result_cast = call.exit();
    job.input = x.input;
    job.source = x.source;
    job.scaling = x.scaling;
    job.source_counters = x.source_counters;
    job.scaling_counters = x.scaling_counters;
    if (!c.boundary.explicit_casts) return job;
    job.input_counters = count_cast(x.input, job.input_cast);
    merge(job.source_counters, count_cast(x.source, job.source_cast));
    if (x.scaling.defined()) merge(job.scaling_counters, count_cast(x.scaling, job.scaling_cast));
    job.input = half_of(x.input, job.input_cast);
    job.source = half_of(x.source, job.source_cast);
    job.scaling = half_of(x.scaling, job.scaling_cast);
    job.input_cast = job.source_cast = job.scaling_cast = Cast{};
    return job;
}

void note_forward(const BoundaryCall& call, const ScaledIndexAddForward& job,
                  const ScaledIndexAddCall::Operands& x) {
    call.note("input", job.input_counters, 0, [&] { return find_in("input", x.input, 1); });
    call.note("source", job.source_counters, 0, [&] { return find_in("source", x.given_source, 1); });
    call.note("scaling", job.scaling_counters, 0, [&] { return find_in("scaling", x.given_scaling, 1); });
    call.note("result", job.result_counters, 0, [&] {
        ScaledIndexAddForward again = job;
        again.in_place = false;
        again.result_cast = Cast{};
        Tensor wide = Tensor::empty(x.input.shape(), DType::f32, x.input.device());
        run(again, wide);
        return find_in("the result", wide, 1);
    });
}

}  // namespace

ScaledIndexAddCall::Operands ScaledIndexAddCall::read(const Tensor& input, const Tensor& source,
                                                      const Tensor& scaling) const {
    const BoundaryCall call(kOp, boundary, Direction::forward);
    Operands x{input, {}, {}, source, scaling, {}, {}};
    x.source = call.read(source, input.dtype(), &x.source_counters);
    x.scaling = call.read(scaling, input.dtype(), &x.scaling_counters);
    return x;
}

Tensor ScaledIndexAddCall::forward(const Operands& x) const {
    const BoundaryCall call(kOp, boundary, Direction::forward);
    ScaledIndexAddForward job = job_of(*this, call, x);
    const bool through_half = boundary.explicit_casts && boundary.mode == BoundaryMode::strict;
    const DType dtype = x.input.dtype();
    Tensor out = Tensor::empty(x.input.shape(), through_half ? DType::f16 : dtype, x.input.device());
    run(job, out);
    note_forward(call, job, x);
    return through_half ? cast_from_half(out, dtype, 1) : out;
}

void ScaledIndexAddCall::in_place(const Operands& x) const {
    const BoundaryCall call(kOp, boundary, Direction::forward);
    ScaledIndexAddForward job = job_of(*this, call, x);
    job.in_place = true;
    Tensor out = x.input;
    run(job, out);
    note_forward(call, job, x);
}

ScaledIndexAddCall::Gradients ScaledIndexAddCall::backward(const Tensor& dy, const Tensor& source,
                                                           const Tensor& scaling, DType source_dtype,
                                                           DType scaling_dtype, Wanted wanted) const {
    const BoundaryCall call(kOp, boundary, Direction::backward);
    const bool strict = boundary.mode == BoundaryMode::strict;
    const bool scales =
        boundary.mode != BoundaryMode::off && boundary.grad_scale.kind != GradScale::Kind::none;
    const double amax = scales ? finite_amax(dy) : 0;
    const int k = scales ? boundary.grad_scale.choose(amax) : 0;
    const Cast entry = call.entry(dy.dtype(), k);
    const auto note_dy = [&](const CastCounters& counters) {
        call.note("grad", counters, k, [&] { return find_in("grad", dy, entry.scale); });
    };
    Gradients out;
    const Tensor half_dy = boundary.explicit_casts && entry.round ? cast_to_half(dy, entry) : Tensor();

    if (wanted.input && (!strict || !entry.round)) {
        out.input = dy;
    } else if (wanted.input) {
        CastCounters counters;
        Cast through = entry;
        through.undo = std::ldexp(1.0f, -k);
        if (half_dy.defined()) {
            counters = count_cast(dy, entry);
            out.input = cast_from_half(half_dy, dy.dtype(), through.undo);
        } else {
            out.input = cast_tensor(dy, through, dy.dtype(), counters);
        }
        note_dy(counters);
    }
    if (!wanted.source && !wanted.scaling) return out;

    ScaledIndexAddBackward job{
        dy, index, wanted.scaling ? source : Tensor(), scaling, alpha, entry, {}, {}, {}, {}, {}};
    const bool counted = wanted.input && strict;  // dy, above
    job.dy_cast.count = entry.count && !counted;
    // Operands that forward has counted are not counted again.
    if (job.source.defined()) job.source_cast = call.entry(job.source.dtype());
    if (scaling.defined()) job.scaling_cast = call.entry(scaling.dtype());
    job.source_cast.count = job.scaling_cast.count = false;
    int k_out = k;
    if (scales && strict) {
        const double factor = scaling.defined() ? finite_amax(scaling) : 1;
        k_out = exit_exponent(boundary.grad_scale, amax * std::fabs(static_cast<double>(alpha)) * factor, k);
    }
    job.exit_cast = call.exit(strict ? k_out - k : 0, strict ? k_out : k);
    const Cast exit = job.exit_cast;
    if (half_dy.defined()) {
        const Tensor rows = index.to(Device::cpu());
        for (int64_t i = 0; job.dy_cast.count && i < rows.numel(); ++i)
            merge(job.dy_counters, count_cast(dy.select(0, rows.data<int64_t>()[i]), entry));
        job.dy = half_dy;
        job.dy_cast = Cast{};
    }
    if (boundary.explicit_casts) {
        job.source = half_of(job.source, job.source_cast);
        job.scaling = half_of(scaling, job.scaling_cast);
        job.source_cast = job.scaling_cast = Cast{};
    }
    const bool through_half = boundary.explicit_casts && strict;
    if (through_half) job.exit_cast.undo = 1;
    Tensor sums =
        wanted.scaling
            ? Tensor::empty({dy.size(2)}, dy.dtype() == DType::f64 ? DType::f64 : DType::f32, dy.device())
            : Tensor();
    if (wanted.source)
        out.source = Tensor::empty({index.numel(), dy.size(1), dy.size(2)},
                                   through_half ? DType::f16 : source_dtype, dy.device());
    const auto kernel = DEMI_SELECT(scaled_index_add, dy.device(), backward);
    kernel(job, out.source, sums);
    note_dy(job.dy_counters);
    call.note("grad_source", job.exit_counters, k_out, [&] {
        ScaledIndexAddBackward again = job;
        again.exit_cast = Cast{exit.scale, 1, false, false, false};
        Tensor wide = Tensor::empty(out.source.shape(), DType::f32, dy.device()), none;
        kernel(again, wide, none);
        return find_in("the gradient of source", wide, 1, k_out);
    });
    if (wanted.source && through_half) out.source = cast_from_half(out.source, source_dtype, exit.undo);
    if (!wanted.scaling) return out;
    if (dy.dtype() == DType::f64) {
        out.scaling = sums;
        return out;
    }
    const double largest = scales && strict ? std::ldexp(finite_amax(sums), -k) : 0;
    const int k_sum = scales && strict ? exit_exponent(boundary.grad_scale, largest, k) : k;
    const Cast leave = call.exit(strict ? k_sum - k : 0, strict ? k_sum : k);
    CastCounters left;
    if (through_half) {
        left = count_cast(sums, leave);
        out.scaling = cast_from_half(cast_to_half(sums, leave), scaling_dtype, leave.undo);
    } else {
        out.scaling = cast_tensor(sums, leave, scaling_dtype, left);
    }
    call.note("grad_scaling", left, k_sum,
              [&] { return find_in("the gradient of scaling", sums, leave.scale, k); });
    return out;
}

}  // namespace demi
