#include "ops/mlp/mlp.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/linear/layer.h"

namespace demi {

Variable mlp(const Variable& x, const Variable& w1, const Variable& b1, const Variable& w2,
             const Variable& b2) {
    return layers(Op("mlp"), x, {{"w1", "b1", w1, b1}, {"w2", "b2", w2, b2}}, false, {});
}

Variable mlp_add(const Variable& residual, const Variable& x, const Variable& w1, const Variable& b1,
                 const Variable& w2, const Variable& b2) {
    check(residual.defined(), "mlp_add", "needs a residual: got an undefined tensor");
    if (!x.device().is_cpu()) return add(residual, mlp(x, w1, b1, w2, b2));
    return layers(Op("mlp_add"), x, {{"w1", "b1", w1, b1}, {"w2", "b2", w2, b2}}, false, residual);
}

}  // namespace demi
