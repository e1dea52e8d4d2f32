#include "ops/pow/pow.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable pow(const Variable& x, double p) {
    if (p == 2) return unary("pow", ElementFn::square, ElementFn::square_grad, x, false);
    if (p == 0.5) return unary("pow", ElementFn::sqrt, ElementFn::sqrt_grad, x, true);
    // x^0 is 1 everywhere; p x^(p - 1) would be 0 * infinity at 0
    if (p == 0) return unary("pow", ElementFn::pow, ElementFn::clear, x, false, p);
    return unary("pow", ElementFn::pow, ElementFn::pow_grad, x, false, p);
}

}  // namespace demi
