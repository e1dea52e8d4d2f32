#include "ops/layer_scale/layer_scale.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/layer_scale/layer_scale_kernels.h"
#include "runtime/profile.h"

namespace demi {

namespace {

// inputs: {x, gamma} or {x, gamma, residual}.
Variable scale(std::string_view op, const std::vector<Variable>& inputs) {
    const ProfileScope scope(op);
    const Variable &vx = inputs[0], &vgamma = inputs[1];
    check_float_operand(op, "x", vx.value());
    check(vx.rank() >= 1, op, "x must have at least one dimension: got ", vx.value());
    check_vector(op, "gamma", vgamma.value(), vx.size(-1), vx.value());
    const Tensor x = vx.value().contiguous();
    const Tensor gamma = vgamma.value().to(compute_dtype(x.dtype())).contiguous();
    Tensor residual;
    if (inputs.size() > 2) {
        residual = inputs[2].value();
        check_same_shape(op, "x", x, "residual", residual);
        check_same_dtype(op, "x", x, "residual", residual);
        check_same_device(op, "x", x, "residual", residual);
        residual = residual.contiguous();
    }
    Tensor y = Tensor::like(x);
    if (x.numel() > 0) DEMI_SELECT(layer_scale, x.device(), forward)(x, gamma, residual, y);
    return record(op, inputs, y,
                  [x = Saved(x), gamma = Saved(gamma),
                   dtype = vgamma.dtype()](const Tensor& grad, const Needs& needs) -> Tensors {
                      Tensors out(needs.size());
                      const Tensor dy = grad.contiguous();
                      Tensor dgamma;
                      if (needs[0]) out[0] = Tensor::like(dy);
                      if (needs[1])
                          dgamma = Tensor::zeros(gamma.get().shape(), gamma.get().dtype(), dy.device());
                      if (dy.numel() > 0 && (needs[0] || needs[1]))
                          DEMI_SELECT(layer_scale, dy.device(), backward)(x, gamma, dy, out[0], dgamma);
                      if (needs[1]) out[1] = dgamma.to(dtype);
                      if (needs.size() > 2 && needs[2]) out[2] = grad;
                      return out;
                  });
}

}  // namespace

Variable layer_scale(const Variable& x, const Variable& gamma) { return scale("layer_scale", {x, gamma}); }

Variable layer_scale_add(const Variable& residual, const Variable& x, const Variable& gamma) {
    return scale("layer_scale_add", {x, gamma, residual});
}

}  // namespace demi
