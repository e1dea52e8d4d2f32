#include "ops/linear/linear.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear_checks.h"
#include "ops/linear/linear_kernels.h"

namespace demi {

void check_layer(const Op& op, std::string_view weight_name, std::string_view bias_name, const Tensor& x,
                 int64_t in, const Tensor& weight, const Tensor& bias) {
    op.floats(weight_name, weight);
    op.same_device("x", x, weight_name, weight);
    op.check(weight.rank() == 2 && weight.size(1) == in, weight_name, " must be [out, ", in,
             "] for an input of ", x.shape(), ": got ", weight.shape());
    op.check(weight.dtype() == x.dtype() || (weight.dtype() == DType::f32 && is_half(x.dtype())), weight_name,
             " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ",
             weight.dtype());
    if (!bias.defined()) return;
    op.floats(bias_name, bias);
    op.same_device("x", x, bias_name, bias);
    op.check(bias.rank() == 1 && bias.size(0) == weight.size(0), bias_name, " must be [", weight.size(0),
             "]: got ", bias.shape());
    op.check(bias.dtype() == x.dtype() || (bias.dtype() == DType::f32 && is_half(x.dtype())), bias_name,
             " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ", bias.dtype());
}

Tensor checked_residual(const Op& op, const Tensor& x, const Shape& shape, const Tensor& residual) {
    op.same_device("x", x, "residual", residual);
    op.same_dtype("x", x, "residual", residual);
    op.check(residual.shape() == shape, "the residual must have the result's shape ", shape, ": got ",
             residual.shape());
    return residual.contiguous();
}

Tensor as_rows(const Tensor& x) {
    const int64_t in = x.shape().back();
    if (x.rank() == 2) return x;
    int64_t rows = 1;
    for (int d = 0; d + 1 < x.rank(); ++d) rows = checked_mul(rows, x.size(d), "linear");
    return x.reshape({rows, in});
}

Shape with_last(const Shape& shape, int64_t size) {
    Shape out = shape;
    out[out.rank() - 1] = size;
    return out;
}

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
    LinearForward call;
    call.x = as_rows(x.value());
    call.weight = weight.value();
    if (bias.defined()) call.bias = bias_value.contiguous();
    call.gelu = gelu;
    if (adds) call.residual = as_rows(checked_residual(op, x.value(), out_shape, residual.value()));
    call.y = Tensor::empty({call.x.size(0), weight.size(0)}, x.dtype(), x.device());
    if (gelu && needs_grad(inputs)) call.pre = Tensor::like(call.y);
    DEMI_SELECT(linear, x.device(), forward)(call);

    auto backward = [rows = Saved(call.x), w = Saved(weight), read = call.weight, pre = Saved(call.pre),
                     shape = x.shape(), bias_shape = bias_value,
                     adds](const Tensor& dy, const Needs& needs) -> Tensors {
        LinearBackward back;
        back.x = rows;
        const Tensor& original = w;  // asked for even where unused: it must not have changed
        back.weight = read;
        back.dy = as_rows(dy).contiguous();
        if (pre.get().defined())
            back.dy = elementwise("gelu", ElementFn::gelu_grad, {back.dy, pre}, back.dy.dtype());
        if (needs[0]) back.dx = Tensor::empty(back.x.shape(), back.x.dtype(), dy.device());
        if (needs[1]) back.dweight = Tensor::like(original);
        if (bias_shape.defined() && needs[2]) back.dbias = Tensor::like(bias_shape);
        DEMI_SELECT(linear, dy.device(), backward)(back);
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
