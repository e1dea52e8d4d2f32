#include "ops/scaled_index_add/scaled_index_add.h"

#include <utility>

#include "autograd/record.h"
#include "ops/boundary/boundary_call.h"
#include "ops/index/row_index.h"
#include "ops/scaled_index_add/scaled_index_add_casts.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr const char* kOp = "scaled_index_add";

void check_operands(const Tensor& input, const Tensor& index, const Tensor& source, const Tensor& scaling) {
    const auto all = [&] {
        return "input " + describe(input) + ", index " + describe(index) + ", source " + describe(source) +
               (scaling.defined() ? ", scaling " + describe(scaling) : "");
    };
    const auto is_float_of_rank = [](const Tensor& t, int rank) {
        return t.defined() && t.rank() == rank && is_float(t.dtype());
    };
    check(is_float_of_rank(input, 3), kOp, "input must be a floating-point tensor [B, M, D]: got ", all());
    check(is_float_of_rank(source, 3) && source.size(1) == input.size(1) && source.size(2) == input.size(2),
          kOp, "source must be a floating-point tensor [rows, ", input.size(1), ", ", input.size(2),
          "]: got ", all());
    check(!scaling.defined() || (is_float_of_rank(scaling, 1) && scaling.size(0) == input.size(2)), kOp,
          "scaling must be a floating-point tensor [", input.size(2), "]: got ", all());
    check(index.defined() && index.rank() == 1 && index.size(0) == source.size(0), kOp,
          "index must name one row of input for each of source's ", source.size(0), ": got ", all());
    const Device device = input.device();
    check(index.device() == device && source.device() == device &&
              (!scaling.defined() || scaling.device() == device),
          kOp, "everything must be on one device: got ", all());
}

ScaledIndexAddCall call_of(const Tensor& input, const Tensor& index, float alpha, const Boundary& boundary) {
    ScaledIndexAddCall call{checked_rows(kOp, "index", index, input.size(0)), alpha, boundary};
    if (input.dtype() == DType::f64) call.boundary.mode = BoundaryMode::off;
    return call;
}

// The bytes between a tensor's first and last element.
std::pair<const char*, const char*> extent(const Tensor& t) {
    const char* first = static_cast<const char*>(t.raw());
    const char *low = first, *high = first + size_of(t.dtype());
    for (int i = 0; i < t.rank(); ++i) {
        const int64_t reach = (t.shape()[i] - 1) * t.strides()[i] * static_cast<int64_t>(size_of(t.dtype()));
        (reach < 0 ? low : high) += reach;
    }
    return {low, high};
}

void check_apart(const Tensor& input, const Tensor& other, const char* name) {
    if (!other.defined() || other.numel() == 0 || input.numel() == 0 || other.buffer() != input.buffer())
        return;
    const auto [a, a_end] = extent(input);
    const auto [b, b_end] = extent(other);
    check(a_end <= b || b_end <= a, kOp, "in place, ", name,
          " must not share memory with input: both lie in one buffer, ", describe(input), " at element ",
          input.offset(), " and ", describe(other), " at element ", other.offset());
}

}  // namespace

Variable scaled_index_add(const Variable& input, const Tensor& index, const Variable& source,
                          const Variable& scaling, float alpha, const Boundary& boundary) {
    const ProfileScope scope("scaled_index_add");
    check_operands(input.value(), index, source.value(), scaling.value());
    note_read(index);
    const ScaledIndexAddCall call = call_of(input.value(), index, alpha, boundary);
    const ScaledIndexAddCall::Operands operands = call.read(input.value(), source.value(), scaling.value());
    Tensor out = call.forward(operands);

    std::vector<Variable> inputs{input, source};
    if (scaling.defined()) inputs.push_back(scaling);
    if (!needs_grad(inputs)) return out;
    // source serves the gradient of scaling only; scaling that of source.
    const bool keeps_source = scaling.requires_grad();
    struct Kept {
        Saved index, source, scaling;
        bool source_kept, scaled;
    };
    Kept kept{Saved(call.index), keeps_source ? Saved(operands.source) : Saved(),
              scaling.defined() ? Saved(operands.scaling) : Saved(), keeps_source, scaling.defined()};
    const DType first = input.dtype(), source_dtype = source.dtype(),
                scaling_dtype = scaling.defined() ? scaling.dtype() : DType::f32;
    return record(kOp, inputs, std::move(out),
                  [kept = std::move(kept), first, source_dtype, scaling_dtype, alpha,
                   boundary = call.boundary](const Tensor& dy, const Needs& needs) -> Tensors {
                      const ScaledIndexAddCall again{kept.index.get(), alpha, boundary};
                      const ScaledIndexAddCall::Wanted wanted{needs[0], needs[1], kept.scaled && needs[2]};
                      auto grads = again.backward(dy, kept.source_kept ? kept.source.get() : Tensor(),
                                                  kept.scaled ? kept.scaling.get() : Tensor(),
                                                  written_gradient(source_dtype, first),
                                                  written_gradient(scaling_dtype, first), wanted);
                      Tensors all{grads.input, wanted.source ? grads.source.to(source_dtype) : Tensor()};
                      if (kept.scaled)
                          all.push_back(wanted.scaling ? grads.scaling.to(scaling_dtype) : Tensor());
                      return all;
                  });
}

void scaled_index_add_(Tensor input, const Tensor& index, const Tensor& source, const Tensor& scaling,
                       float alpha, const Boundary& boundary) {
    check_operands(input, index, source, scaling);
    check_apart(input, source, "source");
    check_apart(input, scaling, "scaling");
    const ScaledIndexAddCall call = call_of(input, index, alpha, boundary);
    const ScaledIndexAddCall::Operands operands = call.read(input, source, scaling);
    // Nothing may be written before the whole result is known to fit; the explicit path has a result of its
    // own anyway.
    const bool apart =
        boundary.overflow == OverflowPolicy::error || boundary.explicit_casts || !input.is_contiguous();
    if (apart)
        copy(input, call.forward(operands));
    else
        call.in_place(operands);
}

}  // namespace demi
