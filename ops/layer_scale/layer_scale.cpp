#include "ops/layer_scale/layer_scale.h"

#include "ops/layer_scale/layer_scale_kernels.h"
#include "ops/op.h"

namespace demi {

namespace {

// inputs: {x, gamma} or {x, gamma, residual}.
Variable scale(const char* name, const std::vector<Variable>& inputs) {
    const Op op(name);
    const Tensor& value = op.floats("x", inputs[0]);
    op.check(value.rank() >= 1, "x must have at least one dimension: got ", value);
    op.vector("gamma", inputs[1].value(), value);
    Tensor residual;
    if (inputs.size() > 2) {
        residual = inputs[2].value();
        op.same_shape("x", value, "residual", residual);
        op.same_dtype("x", value, "residual", residual);
        op.same_device("x", value, "residual", residual);
        residual = residual.contiguous();
    }
    const Tensor x = value.contiguous(), gamma = inputs[1].value().to(compute_dtype(x.dtype())).contiguous();
    const int64_t rows = row_count(x), width = x.size(-1);
    Tensor y = Tensor::like(x);
    if (rows > 0)
        layer_scale_on(x.device())
            .forward({reads(x), reads(gamma), reads(residual), writes(y), rows, width}, queue_of(x));
    const auto backward = [x = Saved(x), gamma = Saved(gamma), dtype = inputs[1].dtype(), rows,
                           width](const Tensor& grad, const Needs& needs) -> Tensors {
        Tensors out(needs.size());
        const Tensor dy = grad.contiguous();
        Tensor dgamma;
        if (needs[0]) out[0] = Tensor::like(dy);
        if (needs[1]) dgamma = Tensor::zeros(gamma.get().shape(), gamma.get().dtype(), dy.device());
        if (rows > 0 && (needs[0] || needs[1]))
            layer_scale_on(dy.device())
                .backward({reads(x), reads(gamma), reads(dy), writes(out[0]), writes(dgamma), rows, width},
                          queue_of(dy));
        if (needs[1]) out[1] = dgamma.to(dtype);
        if (needs.size() > 2 && needs[2]) out[2] = grad;
        return out;
    };
    return op.record(inputs, y, backward);
}

}  // namespace

Variable layer_scale(const Variable& x, const Variable& gamma) { return scale("layer_scale", {x, gamma}); }

Variable layer_scale_add(const Variable& residual, const Variable& x, const Variable& gamma) {
    return scale("layer_scale_add", {x, gamma, residual});
}

}  // namespace demi
