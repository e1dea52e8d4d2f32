#include "ops/mlp/mlp.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/linear/linear_checks.h"
#include "ops/linear/linear_kernels.h"
#include "runtime/profile.h"

namespace demi {
namespace {

Tensor value_of(const Variable& x) { return x.defined() ? x.value().contiguous() : Tensor(); }

Tensor layer(const Tensor& x, const Tensor& weight, const Tensor& bias, bool gelu, Tensor* pre) {
    LinearForward call;
    call.x = x;
    call.weight = weight;
    call.bias = bias;
    call.gelu = gelu;
    call.y = Tensor::empty({x.size(0), weight.size(0)}, x.dtype(), x.device());
    if (pre != nullptr) call.pre = *pre = Tensor::like(call.y);
    DEMI_SELECT(linear, x.device(), forward)(call);
    return call.y;
}

}  // namespace

Variable mlp(const Variable& x, const Variable& w1, const Variable& b1, const Variable& w2,
             const Variable& b2) {
    const ProfileScope scope("mlp");
    check_float_operand("mlp", "x", x.value());
    check(x.rank() >= 1, "mlp", "x must have at least one dimension: got ", x.shape());
    const Tensor bias1 = value_of(b1), bias2 = value_of(b2);
    check_layer("mlp", "w1", "b1", x.value(), x.shape().back(), w1.value(), bias1);
    check_layer("mlp", "w2", "b2", x.value(), w1.size(0), w2.value(), bias2);

    std::vector<Variable> inputs{x, w1, w2};
    if (b1.defined()) inputs.push_back(b1);
    if (b2.defined()) inputs.push_back(b2);
    const Tensor rows = as_rows(x.value());
    Tensor u;
    const Tensor h = layer(rows, w1.value(), bias1, true, needs_grad(inputs) ? &u : nullptr);
    const Tensor y = layer(h, w2.value(), bias2, false, nullptr);

    auto backward = [rows = Saved(rows), w1 = Saved(w1), w2 = Saved(w2), u = Saved(u), h = Saved(h),
                     shape = x.shape(), bias1, bias2](const Tensor& dy, const Needs& needs) -> Tensors {
        const size_t at1 = 3, at2 = bias1.defined() ? 4 : 3;
        const bool want_b1 = bias1.defined() && needs[at1], want_b2 = bias2.defined() && needs[at2];
        LinearBackward second, first;
        second.x = h;
        second.weight = w2;
        second.dy = as_rows(dy).contiguous();
        const bool reach_first = needs[0] || needs[1] || want_b1;
        if (reach_first) {
            second.x_pre = u;
            second.dx = Tensor::like(second.x);
        }
        if (needs[2]) second.dweight = Tensor::like(second.weight);
        if (want_b2) second.dbias = Tensor::like(bias2);
        DEMI_SELECT(linear, dy.device(), backward)(second);
        first.x = rows;
        first.weight = w1;
        first.dy = second.dx;
        if (needs[0]) first.dx = Tensor::like(first.x);
        if (needs[1]) first.dweight = Tensor::like(first.weight);
        if (want_b1) first.dbias = Tensor::like(bias1);
        if (reach_first) DEMI_SELECT(linear, dy.device(), backward)(first);
        Tensors grads{needs[0] ? first.dx.view(shape) : Tensor(), first.dweight, second.dweight};
        if (bias1.defined()) grads.push_back(first.dbias);
        if (bias2.defined()) grads.push_back(second.dbias);
        return grads;
    };
    return record("mlp", inputs, y.view(with_last(x.shape(), w2.size(0))), backward);
}

}  // namespace demi
