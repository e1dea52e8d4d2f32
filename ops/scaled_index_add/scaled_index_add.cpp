#include "ops/scaled_index_add/scaled_index_add.h"

#include <cmath>

#include "ops/boundary/crossing.h"
#include "ops/index/row_index.h"
#include "ops/op.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"
#include "runtime/copy.h"

namespace demi {
namespace {

constexpr const char* kScaledIndexAdd = "scaled_index_add";

// All operands, as messages show them.
struct Described {
    const Tensor &input, &index, &source, &scaling;
    friend std::ostream& operator<<(std::ostream& out, const Described& d) {
        out << "input " << describe(d.input) << ", index " << describe(d.index) << ", source "
            << describe(d.source);
        return d.scaling.defined() ? out << ", scaling " << describe(d.scaling) : out;
    }
};

void check_operands(const Op& op, const Tensor& input, const Tensor& index, const Tensor& source,
                    const Tensor& scaling) {
    const Described all{input, index, source, scaling};
    const auto is_float_of_rank = [](const Tensor& t, int rank) {
        return t.defined() && t.rank() == rank && is_float(t.dtype());
    };
    op.check(is_float_of_rank(input, 3), "input must be a floating-point tensor [B, M, D]: got ", all);
    op.check(
        is_float_of_rank(source, 3) && source.size(1) == input.size(1) && source.size(2) == input.size(2),
        "source must be a floating-point tensor [rows, ", input.size(1), ", ", input.size(2), "]: got ", all);
    op.check(!scaling.defined() || (is_float_of_rank(scaling, 1) && scaling.size(0) == input.size(2)),
             "scaling must be a floating-point tensor [", input.size(2), "]: got ", all);
    op.check(index.defined() && index.rank() == 1 && index.size(0) == source.size(0),
             "index must name one row of input for each of source's ", source.size(0), ": got ", all);
    const Device device = input.device();
    op.check(index.device() == device && source.device() == device &&
                 (!scaling.defined() || scaling.device() == device),
             "everything must be on one device: got ", all);
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

void check_apart(const Op& op, const Tensor& input, const Tensor& other, const char* name) {
    if (!other.defined() || other.numel() == 0 || input.numel() == 0 || other.buffer() != input.buffer())
        return;
    const auto [a, a_end] = extent(input);
    const auto [b, b_end] = extent(other);
    op.check(a_end <= b || b_end <= a, "in place, ", name,
             " must not share memory with input: both lie in one buffer, ", input, " at element ",
             input.offset(), " and ", other, " at element ", other.offset());
}

AddOperand kernel_operand(Entering& x) {
    if (!x.tensor.defined()) return {};
    const Shape& s = x.tensor.strides();
    const bool vector = s.rank() == 1;  // scaling
    return {reads(x.tensor), vector ? 0 : s[0], vector ? 0 : s[1], s.back(), x.cast, x.lost()};
}
AddResult kernel_result(Leaving& y) { return {writes(y.target), y.cast, y.lost()}; }
// Rows of x, [B, M, D].
AddedRows added_rows(const Tensor& index, const Tensor& x, float alpha) {
    return {index.data<int64_t>(), index.numel(), x.size(0), x.size(1), x.size(2), alpha};
}

struct Forward {
    Crossing call;
    Entering input, source, scaling;
    Tensor index;
    float alpha;

    Forward(const Tensor& x, const Tensor& checked_index, const Tensor& s, const Tensor& f, float a,
            const Boundary& boundary)
        : call(kScaledIndexAdd, boundary, Direction::forward, x.dtype()),
          input(call.enter("input", x, {.role = Role::accumulator})), source(call.enter("source", s)),
          scaling(call.enter("scaling", f)), index(checked_index), alpha(a) {}

    Tensor run(Tensor out, bool in_place) {
        Leaving result = call.leave("result", out);
        ScaledIndexAddForward kernel{added_rows(index, out, alpha), kernel_operand(input),
                                     kernel_operand(source),        kernel_operand(scaling),
                                     kernel_result(result),         in_place};
        const auto& on = scaled_index_add_on(out.device());
        if (out.numel() > 0) on.forward(kernel, queue_of(out));
        for (const Entering* x : {&input, &source, &scaling}) call.note(*x);
        return call.finish(result, [&] {
            Tensor unrounded = Tensor::empty(out.shape(), DType::f32, out.device());
            for (AddOperand* x : {&kernel.input, &kernel.source, &kernel.scaling}) x->lost = nullptr;
            kernel.out = {writes(unrounded), {}, nullptr};
            kernel.in_place = false;
            on.forward(kernel, queue_of(out));
            return find_overflow("the result", unrounded);
        });
    }
};

// What backward needs: source for the gradient of scaling only, where that may be asked for; scaling for that of source.
struct Kept {
    Saved index, source, scaling;
    DType source_dtype, scaling_dtype;  // of the gradients
    float alpha;
    Boundary boundary;
};

Tensors backward(const Kept& kept, const Tensor& dy, const Needs& needs) {
    const Tensor index = kept.index, source = kept.source, scaling = kept.scaling;
    const Crossing call(kScaledIndexAdd, kept.boundary, Direction::backward, dy.dtype());
    const bool wants_scaling = needs.size() > 2 && needs[2];
    double amax = 0;
    const int k = call.gradient_exponent(Role::operand, [&] { return amax = finite_amax(dy); });
    Tensors out(needs.size());
    if (needs[0]) {
        Entering all = call.enter("grad", dy, {.role = Role::accumulator, .k = k});
        out[0] = call.pass(all);
        call.note(all);
    }
    if (!needs[1] && !wants_scaling) return out;

    // dy is counted once: all of it, or the rows that are named. What forward has counted is not counted again.
    const bool counted = needs[0] && call.rounds(Role::accumulator);
    Entering g = call.enter("grad", dy, {.k = k, .count = !counted, .count_converted = [&](const Cast& cast) {
                                             return count_rows(dy, index, cast);
                                         }});
    Entering s = call.enter("source", wants_scaling ? source : Tensor(), {.count = false});
    Entering f = call.enter("scaling", scaling, {.count = false});
    const bool bounded = call.scales() && call.rounds_gradients();
    const double factor = bounded && scaling.defined() ? finite_amax(scaling) : 1;
    const Shape shape{index.numel(), dy.size(1), dy.size(2)};
    const DType source_dtype = written_gradient(kept.source_dtype, dy.dtype());
    Leaving grad_source = call.leave_gradient(
        "grad_source", needs[1] ? Tensor::empty(shape, source_dtype, dy.device()) : Tensor(), k,
        bounded ? amax * std::fabs(static_cast<double>(kept.alpha)) * factor : 0);
    Tensor sums =
        wants_scaling ? Tensor::empty({shape[2]}, compute_dtype(dy.dtype()), dy.device()) : Tensor();
    ScaledIndexAddBackward kernel{
        added_rows(index, dy, kept.alpha), kernel_operand(g), kernel_operand(s), kernel_operand(f),
        kernel_result(grad_source),        writes(sums)};
    const auto& on = scaled_index_add_on(dy.device());
    if (shape.numel() > 0)
        on.backward(kernel, queue_of(dy));
    else if (sums.defined())
        fill(sums, 0);
    call.note(g);
    call.finish(grad_source, [&] {
        Tensor unrounded = Tensor::empty(shape, DType::f32, dy.device());
        kernel.dy.lost = nullptr;
        kernel.grad_source = {writes(unrounded), {grad_source.cast.scale, 1, false, false, false}, nullptr};
        kernel.sums = {};
        on.backward(kernel, queue_of(dy));
        return find_overflow("the gradient of source", unrounded, 0, grad_source.k);
    });
    if (needs[1]) out[1] = grad_source.result.to(kept.source_dtype);
    if (wants_scaling) {
        const DType dtype = written_gradient(kept.scaling_dtype, dy.dtype());
        out[2] =
            call.leave_sums("grad_scaling", "the gradient of scaling", sums, dtype, k).to(kept.scaling_dtype);
    }
    return out;
}

}  // namespace

Variable scaled_index_add(const Variable& input, const Tensor& index, const Variable& source,
                          const Variable& scaling, float alpha, const Boundary& boundary) {
    const Op op(kScaledIndexAdd);
    check_operands(op, input.value(), index, source.value(), scaling.value());
    note_read(index);
    Forward forward(input.value(), checked_rows(kScaledIndexAdd, "index", index, input.size(0)),
                    source.value(), scaling.value(), alpha, boundary);
    Tensor out = forward.run(Tensor::empty(input.shape(), input.dtype(), input.device()), false);

    std::vector<Variable> inputs{input, source};
    if (scaling.defined()) inputs.push_back(scaling);
    if (!needs_grad(inputs)) return out;
    Kept kept{forward.index,
              scaling.requires_grad() ? Saved(forward.source.kept()) : Saved(),
              forward.scaling.kept(),
              source.dtype(),
              scaling.defined() ? scaling.dtype() : source.dtype(),
              alpha,
              boundary};
    return op.record(inputs, std::move(out), [kept = std::move(kept)](const Tensor& dy, const Needs& needs) {
        return backward(kept, dy, needs);
    });
}

void scaled_index_add_(Tensor input, const Tensor& index, const Tensor& source, const Tensor& scaling,
                       float alpha, const Boundary& boundary) {
    const Op op(kScaledIndexAdd);
    check_operands(op, input, index, source, scaling);
    check_apart(op, input, source, "source");
    check_apart(op, input, scaling, "scaling");
    Forward forward(input, checked_rows(kScaledIndexAdd, "index", index, input.size(0)), source, scaling,
                    alpha, boundary);
    // Nothing may be written before the whole result is known to fit; the explicit path has a result of its own anyway.
    const bool apart =
        boundary.overflow == OverflowPolicy::error || boundary.explicit_casts || !input.is_contiguous();
    if (apart)
        copy(input, forward.run(Tensor::empty(input.shape(), input.dtype(), input.device()), false));
    else
        forward.run(input, true);
}

}  // namespace demi
