#include "ops/linear/linear.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/linear/layer.h"

namespace demi {

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation) {
    return layers(Op("linear"), x, {{"weight", "bias", weight, bias}}, activation == Activation::gelu, {});
}

Variable linear_add(const Variable& residual, const Variable& x, const Variable& weight,
                    const Variable& bias) {
    check(residual.defined(), "linear_add", "needs a residual: got an undefined tensor");
    if (!x.device().is_cpu()) return add(residual, linear(x, weight, bias));
    return layers(Op("linear_add"), x, {{"weight", "bias", weight, bias}}, false, residual);
}

}  // namespace demi
