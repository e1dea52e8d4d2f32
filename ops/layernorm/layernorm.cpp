#include "ops/layernorm/layernorm.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/elementwise/cast.h"
#include "ops/layernorm/layernorm_kernels.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {

namespace {

// The checked, contiguous call with its results allocated.
LayernormForward prepare(std::string_view op, const Variable& x, const Variable& weight, const Variable& bias,
                         double eps, DType y) {
    check_float_operand(op, "x", x.value());
    check(x.rank() >= 1, op, "x must have at least one dimension: got ", x.value());
    check(eps >= 0, op, "eps must not be negative: got ", eps);
    const DType compute = compute_dtype(x.dtype());
    LayernormForward call;
    call.x = x.value().contiguous();
    if (weight.defined()) {
        check_vector(op, "weight", weight.value(), x.size(-1), x.value());
        call.weight = weight.value().to(compute).contiguous();
    }
    if (bias.defined()) {
        check_vector(op, "bias", bias.value(), x.size(-1), x.value());
        call.bias = bias.value().to(compute).contiguous();
    }
    call.eps = eps;
    call.y = Tensor::empty(x.shape(), y, x.device());
    call.stats = Tensor::empty({row_count(call.x), 4}, compute, x.device());
    return call;
}

struct Backward {
    Saved x, weight, stats;
    DType weight_dtype, bias_dtype;
    std::string op;

    // {dx, dweight, dbias}
    Tensors operator()(const Tensor& dy, const Tensor& dsum, bool want_x, bool want_weight,
                       bool want_bias) const {
        LayernormBackward call{
            x, weight, stats, dy.contiguous(), dsum.defined() ? dsum.contiguous() : Tensor(), {}, {}, {}};
        const Shape width{call.x.shape().back()};
        if (want_x) call.dx = Tensor::like(call.x);
        if (want_weight || want_bias) {
            call.dweight = Tensor::empty(width, call.stats.dtype(), call.x.device());
            call.dbias = Tensor::like(call.dweight);
        }
        if (call.x.numel() > 0) {
            DEMI_SELECT(layernorm, call.x.device(), backward)(call);
        } else if (call.dweight.defined()) {
            fill(call.dweight, 0);
            fill(call.dbias, 0);
        }
        return {call.dx, want_weight ? call.dweight.to(weight_dtype) : Tensor(),
                want_bias ? call.dbias.to(bias_dtype) : Tensor()};
    }
};

Backward backward_of(std::string_view op, const LayernormForward& call, const Tensor& normalised,
                     const Variable& weight, const Variable& bias) {
    return {normalised,
            call.weight,
            call.stats,
            weight.defined() ? weight.dtype() : DType::f32,
            bias.defined() ? bias.dtype() : DType::f32,
            std::string(op)};
}

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
    const ProfileScope scope("layernorm");
    LayernormForward call = prepare("layernorm", x, weight, bias, eps, dtype);
    if (call.x.numel() > 0) DEMI_SELECT(layernorm, x.device(), forward)(call);
    return record(
        "layernorm", {x, weight, bias}, call.y,
        [run = backward_of("layernorm", call, call.x, weight, bias)](const Tensor& dy, const Needs& needs) {
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
    const ProfileScope scope("layernorm");
    LayernormForward call = prepare("layernorm", x, weight, bias, eps, dtype);
    if (call.x.numel() > 0) DEMI_SELECT(layernorm, x.device(), forward)(call);
    return record("layernorm", {x, weight, bias}, Tensors{x.value(), call.y},
                  [run = backward_of("layernorm", call, call.x, weight, bias)](
                      std::span<const Tensor> grads, const Needs& needs) -> Tensors {
                      if (!grads[1].defined()) return {needs[0] ? grads[0] : Tensor(), Tensor(), Tensor()};
                      return run(grads[1], grads[0], needs[0], needs[1], needs[2]);
                  });
}

std::vector<Variable> add_layernorm(const Variable& x, const Variable& residual, const Variable& weight,
                                    const Variable& bias, double eps) {
    const ProfileScope scope("add_layernorm");
    LayernormForward call = prepare("add_layernorm", x, weight, bias, eps, x.dtype());
    check_same_shape("add_layernorm", "x", x.value(), "residual", residual.value());
    check_same_dtype("add_layernorm", "x", x.value(), "residual", residual.value());
    check_same_device("add_layernorm", "x", x.value(), "residual", residual.value());
    call.residual = residual.value().contiguous();
    call.sum = Tensor::like(call.x);
    if (call.x.numel() > 0) DEMI_SELECT(layernorm, x.device(), forward)(call);
    return record("add_layernorm", {x, residual, weight, bias}, Tensors{call.sum, call.y},
                  [run = backward_of("add_layernorm", call, call.sum, weight, bias)](
                      std::span<const Tensor> grads, const Needs& needs) -> Tensors {
                      const bool want_x = needs[0] || needs[1];
                      if (!grads[1].defined()) return {grads[0], grads[0], Tensor(), Tensor()};
                      Tensors out = run(grads[1], grads[0], want_x, needs[2], needs[3]);
                      return {needs[0] ? out[0] : Tensor(), needs[1] ? out[0] : Tensor(), out[1], out[2]};
                  });
}

}  // namespace demi
