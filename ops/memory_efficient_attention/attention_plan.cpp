#include "ops/memory_efficient_attention/attention_plan.h"

#include <cmath>
#include <limits>

#include "autograd/grad_mode.h"
#include "ops/elementwise/where.h"

namespace demi {
namespace {

Tensor prepared(const Tensor& x, bool rank3) { return with_unit_stride(rank3 ? x.unsqueeze(2) : x); }

void check_qkv(const Op& op, const Tensor& q, const Tensor& k, const Tensor& v) {
    op.floats("q", q);
    op.floats("k", k);
    op.floats("v", v);
    op.same_device("q", q, "k", k);
    op.same_device("q", q, "v", v);
    const int rank = q.rank();
    op.check((rank == 3 || rank == 4) && k.rank() == rank && v.rank() == rank,
             "needs q, k, v of rank 4 (B, M, H, K), or all of rank 3 (B, M, K): got q ", q.shape(), ", k ",
             k.shape(), ", v ", v.shape());
    const bool heads = rank == 3 || (q.size(2) == k.size(2) && q.size(2) == v.size(2));
    op.check(q.size(0) == k.size(0) && q.size(0) == v.size(0) && heads,
             "q, k and v must have the same batch size and heads (nothing is broadcast; use expand): got q ",
             q.shape(), ", k ", k.shape(), ", v ", v.shape());
    op.check(k.size(1) == v.size(1), "k and v must have one length: got k ", k.shape(), ", v ", v.shape());
    op.check(q.size(-1) == k.size(-1), "q and k must have one head size: got q ", q.shape(), ", k ",
             k.shape());
    op.check(q.size(1) <= kAttentionNoBound && k.size(1) <= kAttentionNoBound, "lengths must be at most ",
             kAttentionNoBound, ": got q ", q.shape(), ", k ", k.shape());
    op.check(q.size(-1) >= 1 && v.size(-1) >= 1, "head sizes must be at least 1: got q ", q.shape(), ", v ",
             v.shape());
}

// 0 where a query may attend to a key, else -infinity: in f16, which every mode reads as it is.
Tensor of_bool(const Tensor& mask) {
    const NoGrad no_grad;
    const auto number = [&](double x) { return Variable(Tensor::full({1}, x, DType::f16, mask.device())); };
    return where(mask, number(0), number(-std::numeric_limits<double>::infinity())).value();
}

// The bias as [B or 1, H or 1, Mq or 1, Mk or 1].
Tensor prepared_bias(const Op& op, const Tensor& bias, const Tensor& q, const Tensor& k, bool rank3) {
    op.check(is_float(bias.dtype()) || bias.dtype() == DType::boolean,
             "the bias must be a floating-point or bool tensor: got ", bias);
    op.same_device("q", q, "bias", bias);
    Tensor b = bias;
    if (b.rank() == 3 && rank3) b = b.unsqueeze(1);
    while (b.rank() < 4) b = b.unsqueeze(0);
    const int64_t heads = rank3 ? 1 : q.size(2);
    const auto fits = [&](int dim, int64_t size) { return b.size(dim) == size || b.size(dim) == 1; };
    op.check(b.rank() == 4 && fits(0, q.size(0)) && fits(1, heads) && fits(2, q.size(1)) &&
                 fits(3, k.size(1)),
             "the bias must broadcast (see expand) to ",
             rank3 ? Shape{q.size(0), q.size(1), k.size(1)} : Shape{q.size(0), heads, q.size(1), k.size(1)},
             ", [batch, ", rank3 ? "" : "heads, ", "queries, keys], for q ", q.shape(), " and k ", k.shape(),
             ": got ", bias.shape());
    return with_unit_stride(b.dtype() == DType::boolean ? of_bool(b) : b);
}

}  // namespace

Tensor with_unit_stride(const Tensor& x) {
    return x.strides().back() == 1 || x.shape().back() == 1 ? x : x.contiguous();
}

AttentionPlan make_plan(const Op& op, const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionBias& bias, const AttentionOptions& options) {
    check_qkv(op, q, k, v);
    const bool rank3 = q.rank() == 3;
    AttentionPlan plan;
    plan.segments = bias.segments(q.size(0), q.size(1), k.size(1));
    plan.q = prepared(q, rank3);
    plan.k = prepared(k, rank3);
    plan.v = prepared(v, rank3);
    if (bias.tensor().defined()) plan.bias = prepared_bias(op, bias.tensor().value(), q, k, rank3);
    plan.scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
    op.check(std::isfinite(static_cast<float>(plan.scale)), "scale must be a finite f32 number: got ",
             plan.scale);
    op.check(options.dropout >= 0 && options.dropout <= 1, "dropout must be in [0, 1]: got ",
             options.dropout);
    plan.dropout = options.dropout;
    if (plan.dropout > 0) {
        op.check(options.generator != nullptr,
                 "dropout needs a generator (AttentionOptions::generator): got none");
        const int64_t words = checked_mul(plan.q.numel() / plan.q.size(3), plan.k.size(1), op.name());
        plan.draw = take_draw(*options.generator, words, q.device());
    }
    plan.boundary = options.boundary;
    return plan;
}

}  // namespace demi
