#include "ops/linear/linear.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/layer.h"

namespace demi {
namespace {

Variable affine(const Op& op, const Variable& x, const Variable& weight, const Variable& bias, bool gelu,
                const Variable& residual) {
    op.floats("x", x);
    op.check(x.rank() >= 1, "x must have at least one dimension: got ", x.shape());
    const Tensor bias_value = bias.defined() ? bias.value() : Tensor();
    check_layer(op, "weight", "bias", x.value(), x.shape().back(), weight.value(), bias_value);
    const Shape out_shape = with_last(x.shape(), weight.size(0));

    std::vector<Variable> inputs{x, weight};
    if (bias.defined()) inputs.push_back(bias);
    const bool adds = residual.defined();
    if (adds) inputs.push_back(residual);
    LayerForward call;
    call.x = as_rows(x.value());
    call.weight = weight.value();
    if (bias.defined()) call.bias = bias_value.contiguous();
    call.gelu = gelu;
    if (adds) call.residual = as_rows(checked_residual(op, x.value(), out_shape, residual.value()));
    call.y = Tensor::empty({call.x.size(0), weight.size(0)}, x.dtype(), x.device());
    if (gelu && needs_grad(inputs)) call.pre = Tensor::like(call.y);
    run_layer(call);

    auto backward = [rows = Saved(call.x), w = Saved(weight), read = call.weight, pre = Saved(call.pre),
                     shape = x.shape(), bias_shape = bias_value,
                     adds](const Tensor& dy, const Needs& needs) -> Tensors {
        LayerBackward back;
        back.x = rows;
        const Tensor& original = w;  // asked for even where unused: it must not have changed
        back.weight = read;
        back.dy = as_rows(dy).contiguous();
        if (pre.get().defined())
            back.dy = elementwise("gelu", ElementFn::gelu_grad, {back.dy, pre}, back.dy.dtype());
        if (needs[0]) back.dx = Tensor::empty(back.x.shape(), back.x.dtype(), dy.device());
        if (needs[1]) back.dweight = Tensor::like(original);
        if (bias_shape.defined() && needs[2]) back.dbias = Tensor::like(bias_shape);
        run_layer(back);
        Tensors grads{needs[0] ? back.dx.view(shape) : Tensor(), back.dweight};
        if (bias_shape.defined()) grads.push_back(back.dbias);
        if (adds) grads.push_back(dy);
        return grads;
    };
    return op.record(inputs, call.y.view(out_shape), backward);
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation) {
    return affine(Op("linear"), x, weight, bias, activation == Activation::gelu, {});
}

Variable linear_add(const Variable& residual, const Variable& x, const Variable& weight,
                    const Variable& bias) {
    check(residual.defined(), "linear_add", "needs a residual: got an undefined tensor");
    if (!x.device().is_cpu()) return add(residual, linear(x, weight, bias));
    return affine(Op("linear_add"), x, weight, bias, false, residual);
}

}  // namespace demi
