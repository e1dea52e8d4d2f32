#include "ops/memory_efficient_attention/attention_plan.h"

#include <algorithm>
#include <cmath>

#include "runtime/copy.h"

namespace demi {
namespace {

constexpr const char* kPlanOp = "memory_efficient_attention";

AttentionArguments arguments(const AttentionPlan& plan) {
    AttentionArguments args;
    args.q = plan.q;
    args.k = plan.k;
    args.v = plan.v;
    args.bias = plan.bias;
    args.segments = plan.segments;
    args.scale = plan.scale;
    args.dropout = plan.dropout;
    args.draw = plan.draw;
    return args;
}

// Finds what overflowed, for the error's text.
auto finder(const char* operand, const Tensor& tensor, float scale) {
    return [operand, tensor, scale] {
        std::optional<Overflow> found = find_overflow(tensor, scale);
        if (!found) return Overflow{operand, 0};
        return Overflow{std::string(operand) + " " + found->place, found->value};
    };
}

// The casts of the operands; in the explicit path they happen here.
void cast_operand(const Crossing& call, bool explicitly, Tensor& x, Cast& cast, CastCounters& counters) {
    if (!x.defined()) return;
    cast = call.entry(x.dtype());
    if (!explicitly) return;
    merge(counters, count_cast(x, cast));
    x = cast_to_half(x, cast);
    cast = {};
}
void cast_operands(const Crossing& call, bool explicitly, AttentionArguments& args,
                   AttentionForwardCounters& counters) {
    cast_operand(call, explicitly, args.q, args.cast_q, counters.q);
    cast_operand(call, explicitly, args.k, args.cast_k, counters.k);
    cast_operand(call, explicitly, args.v, args.cast_v, counters.v);
    cast_operand(call, explicitly, args.bias, args.cast_bias, counters.bias);
}

bool is_explicit(const Boundary& boundary) {
    return boundary.explicit_casts && boundary.mode != BoundaryMode::off;
}

void note_operand(const Crossing& call, const char* name, const Tensor& x, const CastCounters& counters) {
    if (x.defined()) call.note(name, counters, 0, finder(name, x, 1.f));
}

// One gradient on its way out: where the kernel writes, and how.
struct Exit {
    Tensor target;  // undefined: not wanted
    Cast cast;
    float undo = 1;  // left to do after the kernel, in the explicit path
    int exponent = 0;
};

Exit make_exit(const Crossing& call, const Boundary& boundary, bool explicitly, const Tensor& grad,
               double bound, int entry_exponent) {
    Exit e;
    if (!grad.defined()) return e;
    const bool strict = boundary.mode == BoundaryMode::strict;
    e.exponent = entry_exponent;
    if (strict)  // near enough to the scale that the sums carry for the difference to be a normal float
        e.exponent =
            std::clamp(boundary.grad_scale.choose(bound), entry_exponent - 126, entry_exponent + 126);
    e.cast = call.exit(e.exponent - entry_exponent, e.exponent);
    e.target = grad;
    if (explicitly && strict) {
        e.target = Tensor::empty(grad.shape(), DType::f16, grad.device());
        e.undo = e.cast.undo;
        e.cast.undo = 1;
    }
    return e;
}

void finish_exit(const Crossing& call, const char* name, const Exit& e, const Tensor& grad,
                 const CastCounters& counters) {
    if (!grad.defined()) return;
    if (e.target.buffer() != grad.buffer()) copy(grad, cast_from_half(e.target, grad.dtype(), e.undo));
    call.note(name, counters, e.exponent, finder(name, grad, 1.f));
}

// Bounds of the gradients' absolute values, from those of the operands.
struct Bounds {
    double q = 0, k = 0, v = 0, bias = 0;
};
Bounds gradient_bounds(const AttentionPlan& plan, double grad_out, const Tensor& grad_lse) {
    const double kept = plan.dropout < 1 ? 1 / (1 - plan.dropout) : 0;
    int64_t longest = 0;  // a key is seen by one segment's queries at most
    for (const AttentionSegment& s : plan.segments) longest = std::max(longest, s.q_end - s.q_begin);
    const auto queries = static_cast<double>(longest);
    const double row = 2 * static_cast<double>(plan.v.size(3)) * grad_out * finite_amax(plan.v) * kept +
                       (grad_lse.defined() ? finite_amax(grad_lse) : 0);
    Bounds b;
    b.v = queries * grad_out * kept;
    b.q = std::fabs(plan.scale) * row * finite_amax(plan.k);
    b.k = std::fabs(plan.scale) * row * finite_amax(plan.q) * queries;
    if (plan.bias.defined())  // of a row of dS the sum is no larger than its elements may be
        b.bias = row * static_cast<double>(plan.q.size(0) / std::max<int64_t>(1, plan.bias.size(0))) *
                 static_cast<double>(plan.q.size(2) / std::max<int64_t>(1, plan.bias.size(1))) *
                 static_cast<double>(plan.q.size(1) / std::max<int64_t>(1, plan.bias.size(2)));
    return b;
}

// Whether q, k and v are [:, :, 0..2] of one contiguous [B, M, 3, H, K].
bool is_packed(const AttentionPlan& p) {
    if (p.q.numel() == 0) return false;
    const int64_t m = p.q.size(1), row = p.q.size(2) * p.q.size(3);
    const auto is_slice = [&](const Tensor& x, int64_t i) {
        const Shape& s = x.strides();
        return x.buffer() == p.q.buffer() && x.dtype() == p.q.dtype() && x.shape() == p.q.shape() &&
               x.offset() == p.q.offset() + i * row && s[1] == 3 * row && s[2] == p.q.size(3) &&
               (s[0] == 3 * row * m || x.size(0) == 1);
    };
    return is_slice(p.q, 0) && is_slice(p.k, 1) && is_slice(p.v, 2);
}

AttentionGradients allocate_gradients(const AttentionPlan& plan, const AttentionWants& wants) {
    AttentionGradients grads;
    if (wants.q && wants.k && wants.v && is_packed(plan)) {
        const Shape& s = plan.q.shape();
        const Tensor packed = Tensor::empty({s[0], s[1], 3, s[2], s[3]}, plan.q.dtype(), plan.q.device());
        grads.q = packed.select(2, 0);
        grads.k = packed.select(2, 1);
        grads.v = packed.select(2, 2);
    } else {
        if (wants.q) grads.q = Tensor::like(plan.q);
        if (wants.k) grads.k = Tensor::empty(plan.k.shape(), plan.grad_k, plan.k.device());
        if (wants.v) grads.v = Tensor::empty(plan.v.shape(), plan.grad_v, plan.v.device());
    }
    if (wants.bias) grads.bias = Tensor::empty(plan.bias.shape(), plan.grad_bias, plan.bias.device());
    return grads;
}

}  // namespace

AttentionValues run_attention(AttentionPlan& plan) {
    const Crossing call(kPlanOp, plan.boundary, Direction::forward);
    const bool f64 = plan.q.dtype() == DType::f64, explicitly = is_explicit(plan.boundary);
    const Tensor q = plan.q, k = plan.k, v = plan.v, bias = plan.bias;  // as they came
    AttentionForwardCounters counters;
    const auto read = [&](Tensor& x, DType& grad, CastCounters& cast) {
        if (!x.defined()) return;
        grad = written_gradient(x.dtype(), q.dtype());
        x = call.read(x, q.dtype(), &cast);
    };
    read(plan.k, plan.grad_k, counters.k);
    read(plan.v, plan.grad_v, counters.v);
    read(plan.bias, plan.grad_bias, counters.bias);
    AttentionArguments args = arguments(plan);
    AttentionValues values;
    values.out = Tensor::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.dtype(), q.device());
    values.lse = Tensor::empty({q.size(0), q.size(2), q.size(1)}, f64 ? DType::f64 : DType::f32, q.device());
    if (q.numel() == 0 && k.numel() == 0) return values;  // batches and heads may be any number then
    const auto kernel = DEMI_SELECT(memory_efficient_attention, q.device(), forward);
    if (f64) {
        kernel(args, values.out, values.lse, nullptr);
        return values;
    }
    cast_operands(call, explicitly, args, counters);
    args.cast_out = call.exit();
    if (explicitly && plan.boundary.mode == BoundaryMode::strict) {
        Tensor half = Tensor::empty(values.out.shape(), DType::f16, q.device());
        kernel(args, half, values.lse, &counters);
        values.out = cast_from_half(half, q.dtype(), 1.f);
    } else {
        kernel(args, values.out, values.lse, &counters);
    }
    note_operand(call, "q", q, counters.q);
    note_operand(call, "k", k, counters.k);
    note_operand(call, "v", v, counters.v);
    note_operand(call, "bias", bias, counters.bias);
    note_operand(call, "result", values.out, counters.out);
    return values;
}

AttentionGradients run_attention_backward(const AttentionPlan& plan, const AttentionValues& values,
                                          const Tensor& grad_out, const Tensor& grad_lse,
                                          const AttentionWants& wants) {
    AttentionArguments args = arguments(plan);
    AttentionGradients grads = allocate_gradients(plan, wants);
    AttentionIncoming in;
    in.out = values.out;
    in.lse = values.lse;
    in.grad_out = grad_out;
    in.grad_lse = grad_lse;
    if (plan.q.numel() == 0 || plan.k.numel() == 0) {  // no score
        AttentionWants rest = wants;
        if (wants.bias) fill(grads.bias, 0);
        if (plan.q.numel() == 0 && plan.k.numel() == 0) return grads;
        if (wants.bias) {
            rest.bias = false;
            AttentionGradients others = run_attention_backward(plan, values, grad_out, grad_lse, rest);
            others.bias = grads.bias;
            return others;
        }
    }
    const auto kernel = DEMI_SELECT(memory_efficient_attention, plan.q.device(), backward);
    if (plan.q.dtype() == DType::f64) {
        kernel(args, in, grads, nullptr);
        return grads;
    }
    const Boundary& boundary = plan.boundary;
    const Crossing call(kPlanOp, boundary, Direction::backward);
    const bool explicitly = is_explicit(boundary);
    const bool scaled =
        boundary.grad_scale.kind != GradScale::Kind::none && boundary.mode != BoundaryMode::off;
    const double amax = scaled ? finite_amax(grad_out) : 0;
    const int k = scaled ? boundary.grad_scale.choose(amax) : 0;
    const Bounds bounds = scaled ? gradient_bounds(plan, amax, grad_lse) : Bounds{};

    AttentionForwardCounters again;  // the operands were counted forward
    cast_operands(call, explicitly, args, again);
    args.cast_q.count = args.cast_k.count = args.cast_v.count = args.cast_bias.count = false;
    AttentionBackwardCounters counters;
    in.cast_grad_out = call.entry(grad_out.dtype(), k);
    in.grad_lse_scale = std::ldexp(1.f, k);
    if (explicitly) {
        counters.grad_out = count_cast(grad_out, in.cast_grad_out);
        in.grad_out = cast_to_half(grad_out, in.cast_grad_out);
        in.cast_grad_out = {};
    }
    const Exit q = make_exit(call, boundary, explicitly, grads.q, bounds.q, k);
    const Exit key = make_exit(call, boundary, explicitly, grads.k, bounds.k, k);
    const Exit v = make_exit(call, boundary, explicitly, grads.v, bounds.v, k);
    const Exit bias = make_exit(call, boundary, explicitly, grads.bias, bounds.bias, k);
    kernel(
        args, in,
        AttentionGradients{q.target, key.target, v.target, bias.target, q.cast, key.cast, v.cast, bias.cast},
        &counters);
    call.note("grad", counters.grad_out, k, finder("grad", grad_out, std::ldexp(1.f, k)));
    finish_exit(call, "grad_q", q, grads.q, counters.grad_q);
    finish_exit(call, "grad_k", key, grads.k, counters.grad_k);
    finish_exit(call, "grad_v", v, grads.v, counters.grad_v);
    finish_exit(call, "grad_bias", bias, grads.bias, counters.grad_bias);
    return grads;
}

}  // namespace demi
