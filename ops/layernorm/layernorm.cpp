#include "ops/layernorm/layernorm.h"

#include "ops/elementwise/cast.h"
#include "ops/layernorm/layernorm_kernels.h"
#include "ops/op.h"
#include "runtime/copy.h"

namespace demi {

namespace {

// The checked, contiguous operands of a call and its results.
struct NormCall {
    Tensor x, residual, weight, bias, sum, y, stats;
    double eps;

    NormCall(const Op& op, const Variable& input, const Variable& w, const Variable& b, double eps_, DType to)
        : eps(eps_) {
        const Tensor& value = op.floats("x", input);
        op.check(value.rank() >= 1, "x must have at least one dimension: got ", value);
        op.check(eps >= 0, "eps must not be negative: got ", eps);
        const DType compute = compute_dtype(value.dtype());
        x = value.contiguous();
        if (w.defined()) {
            op.vector("weight", w.value(), value);
            weight = w.value().to(compute).contiguous();
        }
        if (b.defined()) {
            op.vector("bias", b.value(), value);
            bias = b.value().to(compute).contiguous();
        }
        y = Tensor::empty(x.shape(), to, x.device());
        stats = Tensor::empty({row_count(x), 4}, compute, x.device());
    }
    void run() {
        if (x.numel() > 0)
            layernorm_on(x.device())
                .forward({reads(x), reads(residual), reads(weight), reads(bias), writes(sum), writes(y),
                          writes(stats), row_count(x), x.size(-1), eps},
                         queue_of(x));
    }
};

struct NormGradients {
    Saved x, weight, stats;  // x: what was normalised
    DType weight_dtype, bias_dtype;

    NormGradients(const NormCall& call, const Variable& w, const Variable& b)
        : x(call.sum.defined() ? call.sum : call.x), weight(call.weight), stats(call.stats),
          weight_dtype(w.defined() ? w.dtype() : DType::f32),
          bias_dtype(b.defined() ? b.dtype() : DType::f32) {}

    // {dx, dweight, dbias}
    Tensors operator()(const Tensor& grad, const Tensor& sum_grad, bool want_x, bool want_weight,
                       bool want_bias) const {
        const Tensor in = x, dy = grad.contiguous();
        const Tensor dsum = sum_grad.defined() ? sum_grad.contiguous() : Tensor();
        Tensor dx, dweight, dbias;
        if (want_x) dx = Tensor::like(in);
        if (want_weight || want_bias) {
            dweight = Tensor::empty({in.size(-1)}, compute_dtype(in.dtype()), in.device());
            dbias = Tensor::like(dweight);
        }
        if (in.numel() > 0 && (dx.defined() || dweight.defined())) {
            layernorm_on(in.device())
                .backward({reads(in), reads(weight), reads(stats), reads(dy), reads(dsum), writes(dx),
                           writes(dweight), writes(dbias), row_count(in), in.size(-1)},
                          queue_of(in));
        } else if (dweight.defined()) {
            fill(dweight, 0);
            fill(dbias, 0);
        }
        return {dx, want_weight ? dweight.to(weight_dtype) : Tensor(),
                want_bias ? dbias.to(bias_dtype) : Tensor()};
    }
};

// Whether a kernel rounds to `dtype` as it stores.
bool stores_as(const Variable& x, DType dtype) {
    return dtype == x.dtype() || (x.dtype() == DType::f32 && is_half(dtype));
}

}  // namespace

Variable layernorm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
    return layernorm_as(x, x.dtype(), weight, bias, eps);
}

Variable layernorm_as(const Variable& x, DType dtype, const Variable& weight, const Variable& bias,
                      double eps) {
    if (!stores_as(x, dtype)) return cast(layernorm(x, weight, bias, eps), dtype);
    const Op op("layernorm");
    NormCall call(op, x, weight, bias, eps, dtype);
    call.run();
    return op.record({x, weight, bias}, call.y,
                     [run = NormGradients(call, weight, bias)](const Tensor& dy, const Needs& needs) {
                         return run(dy, Tensor(), needs[0], needs[1], needs[2]);
                     });
}

std::vector<Variable> layernorm_branch(const Variable& x, DType dtype, const Variable& weight,
                                       const Variable& bias, double eps) {
    if (!stores_as(x, dtype)) {
        std::vector<Variable> both = layernorm_branch(x, x.dtype(), weight, bias, eps);
        both[1] = cast(both[1], dtype);
        return both;
    }
    const Op op("layernorm");
    NormCall call(op, x, weight, bias, eps, dtype);
    call.run();
    return op.record({x, weight, bias}, Tensors{x.value(), call.y},
                     [run = NormGradients(call, weight, bias)](std::span<const Tensor> grads,
                                                               const Needs& needs) -> Tensors {
                         if (!grads[1].defined()) return {needs[0] ? grads[0] : Tensor(), Tensor(), Tensor()};
                         return run(grads[1], grads[0], needs[0], needs[1], needs[2]);
                     });
}

std::vector<Variable> add_layernorm(const Variable& x, const Variable& residual, const Variable& weight,
                                    const Variable& bias, double eps) {
    const Op op("add_layernorm");
    NormCall call(op, x, weight, bias, eps, x.dtype());
    op.same_shape("x", x.value(), "residual", residual.value());
    op.same_dtype("x", x.value(), "residual", residual.value());
    op.same_device("x", x.value(), "residual", residual.value());
    call.residual = residual.value().contiguous();
    call.sum = Tensor::like(call.x);
    call.run();
    return op.record({x, residual, weight, bias}, Tensors{call.sum, call.y},
                     [run = NormGradients(call, weight, bias)](std::span<const Tensor> grads,
                                                               const Needs& needs) -> Tensors {
                         const bool want_x = needs[0] || needs[1];
                         if (!grads[1].defined()) return {grads[0], grads[0], Tensor(), Tensor()};
                         Tensors out = run(grads[1], grads[0], want_x, needs[2], needs[3]);
                         return {needs[0] ? out[0] : Tensor(), needs[1] ? out[0] : Tensor(), out[1], out[2]};
                     });
}

}  // namespace demi
