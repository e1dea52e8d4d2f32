#include "ops/linear/linear_checks.h"

#include "ops/common/operand.h"

namespace demi {

void check_layer(std::string_view op, std::string_view weight_name, std::string_view bias_name,
                 const Tensor& x, int64_t in, const Tensor& weight, const Tensor& bias) {
    check_float_operand(op, weight_name, weight);
    check_same_device(op, "x", x, weight_name, weight);
    check(weight.rank() == 2 && weight.size(1) == in, op, weight_name, " must be [out, ", in,
          "] for an input of ", x.shape(), ": got ", weight.shape());
    check(weight.dtype() == x.dtype() || (weight.dtype() == DType::f32 && is_half(x.dtype())), op,
          weight_name, " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ",
          weight.dtype());
    if (!bias.defined()) return;
    check_float_operand(op, bias_name, bias);
    check_same_device(op, "x", x, bias_name, bias);
    check(bias.rank() == 1 && bias.size(0) == weight.size(0), op, bias_name, " must be [", weight.size(0),
          "]: got ", bias.shape());
    check(bias.dtype() == x.dtype() || (bias.dtype() == DType::f32 && is_half(x.dtype())), op, bias_name,
          " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ", bias.dtype());
}

Tensor checked_residual(std::string_view op, const Tensor& x, const Shape& shape, const Tensor& residual) {
    check_same_device(op, "x", x, "residual", residual);
    check_same_dtype(op, "x", x, "residual", residual);
    check(residual.shape() == shape, op, "the residual must have the result's shape ", shape, ": got ",
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

}  // namespace demi
