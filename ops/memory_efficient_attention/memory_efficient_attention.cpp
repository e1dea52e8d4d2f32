#include "ops/memory_efficient_attention/memory_efficient_attention.h"

#include <algorithm>
#include <cmath>

#include "autograd/grad_mode.h"
#include "ops/boundary/crossing.h"
#include "ops/memory_efficient_attention/attention_kernels.h"
#include "ops/memory_efficient_attention/attention_plan.h"
#include "runtime/copy.h"

namespace demi {
namespace {

constexpr const char* kOp = "memory_efficient_attention";

template <class Data>
AttentionRows<Data> rows_of(Data* data, const Tensor& x, const Cast& cast = {},
                            CastCounters* lost = nullptr) {
    if (!x.defined()) return {};
    const Shape& s = x.strides();
    return {data, s[0], s[1], s[2], x.dtype(), cast, lost};
}
AttentionOperand operand_of(Entering& x) { return rows_of(reads(x.tensor).data, x.tensor, x.cast, x.lost()); }
AttentionResult result_of(Leaving& y) { return rows_of(writes(y.target).data, y.target, y.cast, y.lost()); }

// The operands q, k, v and bias of a call on their way into the kernels.
std::array<Entering, 4> enter(const Crossing& call, const AttentionPlan& p, bool count) {
    const EnterAs as{.count = count};
    return {call.enter("q", p.q, as), call.enter("k", p.k, as), call.enter("v", p.v, as),
            call.enter("bias", p.bias, as)};
}

AttentionCall call_of(const AttentionPlan& p, std::array<Entering, 4>& operands) {
    AttentionCall c;
    c.batch = p.q.size(0);
    c.queries = p.q.size(1);
    c.heads = p.q.size(2);
    c.head_size = p.q.size(3);
    c.keys = p.k.size(1);
    c.value_size = p.v.size(3);
    c.segments = p.segments.data();
    c.segment_count = static_cast<int64_t>(p.segments.size());
    if (!p.segments.empty()) c.first = p.segments[0];
    c.q = operand_of(operands[0]);
    c.k = operand_of(operands[1]);
    c.v = operand_of(operands[2]);
    c.dropout = {p.dropout, p.draw.seed, p.draw.offset, p.draw.live};
    c.scale_f64 = p.scale;
    c.scale = static_cast<float>(p.scale);
    if (!p.bias.defined()) return c;
    static_cast<AttentionOperand&>(c.bias) = operand_of(operands[3]);
    std::swap(c.bias.token, c.bias.head);
    c.bias.sum_batch = p.bias.size(0) == 1;
    c.bias.sum_head = p.bias.size(1) == 1;
    c.bias.sum_query = p.bias.size(2) != c.queries;
    c.bias.sum_key = p.bias.size(3) != c.keys;
    if (c.bias.sum_batch) c.bias.batch = 0;
    if (c.bias.sum_head) c.bias.head = 0;
    if (c.bias.sum_query) c.bias.token = 0;
    if (c.bias.sum_key) c.bias.key = 0;
    return c;
}

// Bounds of the gradients' absolute values, from those of the operands.
struct Bounds {
    double q = 0, k = 0, v = 0, bias = 0;
};
Bounds gradient_bounds(const AttentionPlan& plan, double grad_out, const Tensor& grad_lse) {
    const double kept = plan.dropout < 1 ? 1 / (1 - plan.dropout) : 0;
    int64_t longest = 0;  // a key is seen by one segment's queries at most
    for (const AttentionSegment& s : plan.segments) longest = std::max(longest, s.queries());
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

// What backward needs, and the shapes and dtypes that gradients must have.
struct Context {
    AttentionPlan plan;  // its tensors live in the Saved ones
    Saved operands[4];   // q, k, v and the bias
    Saved out, lse;
    struct Original {
        Shape shape;
        DType dtype;
    };
    std::vector<Original> inputs;

    // Of q, k, v and the bias, each where it is needed. Those of adjacent slices of one packed qkv tensor are
    // slices of one buffer again: unpacking has its gradient without a copy.
    Tensors allocate(const AttentionPlan& p, const Needs& needs) const {
        Tensors grads(4);
        if (needs[0] && needs[1] && needs[2] && is_packed(p)) {
            const Shape& s = p.q.shape();
            const Tensor packed = Tensor::empty({s[0], s[1], 3, s[2], s[3]}, p.q.dtype(), p.q.device());
            for (int i = 0; i < 3; ++i) grads[static_cast<size_t>(i)] = packed.select(2, i);
        }
        for (size_t i = 0; i < inputs.size(); ++i)
            if (needs[i] && !grads[i].defined())
                grads[i] = Tensor::empty(operands[i].get().shape(),
                                         written_gradient(inputs[i].dtype, p.q.dtype()), p.q.device());
        return grads;
    }

    // grad_lse may be undefined.
    Tensors run(const AttentionPlan& p, const Tensor& grad_out, const Tensor& grad_lse,
                const Needs& needs) const {
        Tensors grads = allocate(p, needs);
        const bool scores = p.q.numel() > 0 && p.k.numel() > 0;
        if (!scores && grads[3].defined()) fill(grads[3], 0);
        if (p.q.numel() == 0 && p.k.numel() == 0) return grads;
        const Crossing call(kOp, p.boundary, Direction::backward, p.q.dtype());
        double amax = 0;
        const int scale = call.gradient_exponent(Role::operand, [&] { return amax = finite_amax(grad_out); });
        const Bounds bounds =
            call.scales() && call.rounds_gradients() ? gradient_bounds(p, amax, grad_lse) : Bounds{};
        std::array<Entering, 4> entering = enter(call, p, false);  // counted forward
        Entering g = call.enter("grad", grad_out, {.k = scale});
        Leaving leaving[] = {
            call.leave_gradient("grad_q", grads[0], scale, bounds.q),
            call.leave_gradient("grad_k", grads[1], scale, bounds.k),
            call.leave_gradient("grad_v", grads[2], scale, bounds.v),
            call.leave_gradient("grad_bias", scores ? grads[3] : Tensor(), scale, bounds.bias)};
        const Tensor y = out.get(), log = lse.get();
        memory_efficient_attention_on(p.q.device())
            .backward({call_of(p, entering), rows_of(y.raw(), y), operand_of(g), reads(log), reads(grad_lse),
                       std::ldexp(1.f, scale), result_of(leaving[0]), result_of(leaving[1]),
                       result_of(leaving[2]), result_of(leaving[3])},
                      queue_of(p.q));
        call.note(g);
        for (const Leaving& left : leaving) (void)call.finish(left);
        return grads;
    }

    Tensors backward(std::span<const Tensor> grads, const Needs& needs) const {
        AttentionPlan p = plan;
        p.q = operands[0].get();
        p.k = operands[1].get();
        p.v = operands[2].get();
        p.bias = operands[3].get();
        // Gradients arrive with the result's rank, in any strides; one of the two may not have been used.
        const Tensor y = out.get();
        const Tensor grad_out = grads[0].defined() ? with_unit_stride(grads[0].reshape(y.shape()))
                                                   : Tensor::zeros(y.shape(), y.dtype(), y.device());
        Tensors result = run(p, grad_out, grads[1].defined() ? grads[1].contiguous() : Tensor(), needs);
        result.resize(inputs.size());
        for (size_t i = 0; i < result.size(); ++i)
            if (result[i].defined()) result[i] = result[i].view(inputs[i].shape).to(inputs[i].dtype);
        return result;
    }
};

}  // namespace

AttentionWithLse attention_with_lse(const Variable& q, const Variable& k, const Variable& v,
                                    const AttentionBias& bias, const AttentionOptions& options) {
    const Op op(kOp);
    Context context;
    AttentionPlan& plan = context.plan;
    plan = make_plan(op, q.value(), k.value(), v.value(), bias, options);
    const Tensor& x = plan.q;
    const Crossing call(kOp, plan.boundary, Direction::forward, x.dtype());
    std::array<Entering, 4> entering = enter(call, plan, true);
    Leaving leaving = call.leave(
        "result", Tensor::empty({x.size(0), x.size(1), x.size(2), plan.v.size(3)}, x.dtype(), x.device()));
    Tensor lse = Tensor::empty({x.size(0), x.size(2), x.size(1)}, compute_dtype(x.dtype()), x.device());
    if (x.numel() > 0 || plan.k.numel() > 0)  // else batches and heads may be any number
        memory_efficient_attention_on(x.device())
            .forward({call_of(plan, entering), result_of(leaving), writes(lse)}, queue_of(x));
    for (const Entering& operand : entering) call.note(operand);
    const Tensor whole = call.finish(leaving), out = q.rank() == 3 ? whole.squeeze(2) : whole;

    std::vector<Variable> inputs{q, k, v};
    if (plan.bias.defined() && is_float(bias.tensor().dtype())) inputs.push_back(bias.tensor());
    if (!needs_grad(inputs)) return {out, lse};
    for (size_t i = 0; i < 4; ++i) context.operands[i] = entering[i].kept();
    context.out = whole;
    context.lse = lse;
    for (const Variable& input : inputs) context.inputs.push_back({input.shape(), input.dtype()});
    plan.q = plan.k = plan.v = plan.bias = Tensor();
    const std::vector<Variable> both =
        op.record(inputs, Tensors{out, lse},
                  [context = std::move(context)](std::span<const Tensor> grads, const Needs& needs) {
                      return context.backward(grads, needs);
                  });
    return {both[0], both[1]};
}

Variable memory_efficient_attention(const Variable& q, const Variable& k, const Variable& v,
                                    const AttentionBias& bias, const AttentionOptions& options) {
    return attention_with_lse(q, k, v, bias, options).out;
}

}  // namespace demi
