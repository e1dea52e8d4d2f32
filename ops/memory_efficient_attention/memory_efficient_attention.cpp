#include "ops/memory_efficient_attention/memory_efficient_attention.h"

#include <cmath>
#include <limits>

#include "autograd/grad_mode.h"
#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/elementwise/where.h"
#include "ops/memory_efficient_attention/attention_plan.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr const char* kOp = "memory_efficient_attention";

// Kernels read rows of the last dimension at once.
Tensor with_unit_stride(const Tensor& x) {
    return x.strides().back() == 1 || x.shape().back() == 1 ? x : x.contiguous();
}

Tensor prepared(const Tensor& x, bool rank3) { return with_unit_stride(rank3 ? x.unsqueeze(2) : x); }

void check_qkv(const Tensor& q, const Tensor& k, const Tensor& v) {
    check_float_operand(kOp, "q", q);
    check_float_operand(kOp, "k", k);
    check_float_operand(kOp, "v", v);
    check_same_device(kOp, "q", q, "k", k);
    check_same_device(kOp, "q", q, "v", v);
    const int rank = q.rank();
    check((rank == 3 || rank == 4) && k.rank() == rank && v.rank() == rank, kOp,
          "needs q, k, v of rank 4 (B, M, H, K), or all of rank 3 (B, M, K): got q ", q.shape(), ", k ",
          k.shape(), ", v ", v.shape());
    const bool heads = rank == 3 || (q.size(2) == k.size(2) && q.size(2) == v.size(2));
    check(q.size(0) == k.size(0) && q.size(0) == v.size(0) && heads, kOp,
          "q, k and v must have the same batch size and heads (nothing is broadcast; use expand): got q ",
          q.shape(), ", k ", k.shape(), ", v ", v.shape());
    check(k.size(1) == v.size(1), kOp, "k and v must have one length: got k ", k.shape(), ", v ", v.shape());
    check(q.size(-1) == k.size(-1), kOp, "q and k must have one head size: got q ", q.shape(), ", k ",
          k.shape());
    check(q.size(1) <= kAttentionNoBound && k.size(1) <= kAttentionNoBound, kOp, "lengths must be at most ",
          kAttentionNoBound, ": got q ", q.shape(), ", k ", k.shape());
    check(q.size(-1) >= 1 && v.size(-1) >= 1, kOp, "head sizes must be at least 1: got q ", q.shape(), ", v ",
          v.shape());
}

// 0 where a query may attend to a key, else -infinity: in f16, which every mode reads as it is.
Tensor of_bool(const Tensor& mask) {
    const NoGrad no_grad;
    const auto number = [&](double x) { return Variable(Tensor::full({1}, x, DType::f16, mask.device())); };
    return where(mask, number(0), number(-std::numeric_limits<double>::infinity())).value();
}

// The bias as [B or 1, H or 1, Mq or 1, Mk or 1].
Tensor prepared_bias(const Tensor& bias, const Tensor& q, const Tensor& k, bool rank3) {
    check(is_float(bias.dtype()) || bias.dtype() == DType::boolean, kOp,
          "the bias must be a floating-point or bool tensor: got ", bias);
    check_same_device(kOp, "q", q, "bias", bias);
    Tensor b = bias;
    if (b.rank() == 3 && rank3) b = b.unsqueeze(1);
    while (b.rank() < 4) b = b.unsqueeze(0);
    const int64_t heads = rank3 ? 1 : q.size(2);
    const auto fits = [&](int dim, int64_t size) { return b.size(dim) == size || b.size(dim) == 1; };
    check(b.rank() == 4 && fits(0, q.size(0)) && fits(1, heads) && fits(2, q.size(1)) && fits(3, k.size(1)),
          kOp, "the bias must broadcast (see expand) to ",
          rank3 ? Shape{q.size(0), q.size(1), k.size(1)} : Shape{q.size(0), heads, q.size(1), k.size(1)},
          ", [batch, ", rank3 ? "" : "heads, ", "queries, keys], for q ", q.shape(), " and k ", k.shape(),
          ": got ", bias.shape());
    return with_unit_stride(b.dtype() == DType::boolean ? of_bool(b) : b);
}

AttentionPlan make_plan(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionBias& bias,
                        const AttentionOptions& options) {
    check_qkv(q, k, v);
    const bool rank3 = q.rank() == 3;
    AttentionPlan plan;
    plan.segments = bias.segments(q.size(0), q.size(1), k.size(1));
    plan.q = prepared(q, rank3);
    plan.k = prepared(k, rank3);
    plan.v = prepared(v, rank3);
    if (bias.tensor().defined()) plan.bias = prepared_bias(bias.tensor().value(), q, k, rank3);
    plan.scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
    check(std::isfinite(static_cast<float>(plan.scale)), kOp, "scale must be a finite f32 number: got ",
          plan.scale);
    check(options.dropout >= 0 && options.dropout <= 1, kOp, "dropout must be in [0, 1]: got ",
          options.dropout);
    plan.dropout = options.dropout;
    if (plan.dropout > 0) {
        check(options.generator != nullptr, kOp,
              "dropout needs a generator (AttentionOptions::generator): got none");
        const int64_t words = checked_mul(plan.q.numel() / plan.q.size(3), plan.k.size(1), kOp);
        plan.draw = take_draw(*options.generator, words, q.device());
    }
    plan.boundary = options.boundary;
    return plan;
}

// What backward needs, and the shapes and dtypes that gradients must have.
struct Context {
    AttentionPlan plan;  // its tensors live in the Saved ones
    Saved q, k, v, bias, out, lse;
    struct Original {
        Shape shape;
        DType dtype;
    };
    std::vector<Original> inputs;

    Tensors backward(std::span<const Tensor> grads, const Needs& needs) const {
        AttentionPlan p = plan;
        p.q = q.get();
        p.k = k.get();
        p.v = v.get();
        p.bias = bias.get();
        AttentionValues values{out.get(), lse.get()};
        // Gradients arrive with the result's rank, in any strides; one of the two may not have been used.
        Tensor grad_out = grads[0].defined()
                              ? with_unit_stride(grads[0].rank() == 3 ? grads[0].unsqueeze(2) : grads[0])
                              : Tensor::zeros(values.out.shape(), values.out.dtype(), values.out.device());
        const Tensor grad_lse = grads[1].defined() ? grads[1].contiguous() : Tensor();
        const AttentionGradients g = run_attention_backward(
            p, values, grad_out, grad_lse, {needs[0], needs[1], needs[2], needs.size() > 3 && needs[3]});
        Tensors result{g.q, g.k, g.v};
        if (needs.size() > 3) result.push_back(g.bias);
        for (size_t i = 0; i < result.size(); ++i) {
            if (!result[i].defined()) continue;
            if (result[i].shape() != inputs[i].shape)
                result[i] = i < 3 ? result[i].squeeze(2) : result[i].view(inputs[i].shape);
            result[i] = result[i].to(inputs[i].dtype);
        }
        return result;
    }
};

}  // namespace

AttentionWithLse attention_with_lse(const Variable& q, const Variable& k, const Variable& v,
                                    const AttentionBias& bias, const AttentionOptions& options) {
    const ProfileScope scope(kOp);
    AttentionPlan plan = make_plan(q.value(), k.value(), v.value(), bias, options);
    const AttentionValues values = run_attention(plan);
    std::vector<Variable> inputs{q, k, v};
    if (plan.bias.defined() && is_float(bias.tensor().dtype())) inputs.push_back(bias.tensor());
    const Tensor out = q.rank() == 3 ? values.out.squeeze(2) : values.out;
    if (!needs_grad(inputs)) return {out, values.lse};

    Context context;
    context.q = plan.q;
    context.k = plan.k;
    context.v = plan.v;
    context.bias = plan.bias;
    context.out = values.out;
    context.lse = values.lse;
    for (const Variable& x : inputs) context.inputs.push_back({x.shape(), x.dtype()});
    plan.q = plan.k = plan.v = plan.bias = Tensor();
    context.plan = std::move(plan);
    const std::vector<Variable> both =
        record(kOp, inputs, Tensors{out, values.lse},
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
