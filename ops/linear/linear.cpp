#include "ops/linear/linear.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/gelu/gelu_kernels.h"
#include "ops/linear/linear_checks.h"
#include "ops/linear/linear_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation) {
    const ProfileScope scope("linear");
    check_float_operand("linear", "x", x.value());
    check(x.rank() >= 1, "linear", "x must have at least one dimension: got ", x.shape());
    const Tensor bias_value = bias.defined() ? bias.value() : Tensor();
    check_layer("linear", "weight", "bias", x.value(), x.shape().back(), weight.value(), bias_value);

    const bool gelu = activation == Activation::gelu;
    std::vector<Variable> inputs{x, weight};
    if (bias.defined()) inputs.push_back(bias);
    LinearForward call;
    call.x = as_rows(x.value());
    call.weight = weight.value();
    if (bias.defined()) call.bias = bias_value.contiguous();
    call.gelu = gelu;
    call.y = Tensor::empty({call.x.size(0), weight.size(0)}, x.dtype(), x.device());
    if (gelu && needs_grad(inputs)) call.pre = Tensor::like(call.y);
    DEMI_SELECT(linear, x.device(), forward)(call);

    auto backward = [rows = Saved(call.x), w = Saved(weight), pre = Saved(call.pre), shape = x.shape(),
                     bias_shape = bias_value](const Tensor& dy, const Needs& needs) -> Tensors {
        LinearBackward back;
        back.x = rows;
        back.weight = w;
        back.dy = as_rows(dy).contiguous();
        if (pre.get().defined()) {
            Tensor du = Tensor::like(back.dy);
            DEMI_SELECT(gelu, du.device(), backward)(pre, back.dy, du);
            back.dy = du;
        }
        if (needs[0]) back.dx = Tensor::empty(back.x.shape(), back.x.dtype(), dy.device());
        if (needs[1]) back.dweight = Tensor::like(back.weight);
        if (needs.size() > 2 && needs[2]) back.dbias = Tensor::like(bias_shape);
        DEMI_SELECT(linear, dy.device(), backward)(back);
        Tensors grads{needs[0] ? back.dx.view(shape) : Tensor(), back.dweight};
        if (needs.size() > 2) grads.push_back(back.dbias);
        return grads;
    };
    return record("linear", inputs, call.y.view(with_last(x.shape(), weight.size(0))), backward);
}

}  // namespace demi
