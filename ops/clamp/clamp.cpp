#include "ops/clamp/clamp.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable clamp(const Variable& x, double low, double high) {
    check(low <= high, "clamp", "low must not exceed high: got ", low, " and ", high);
    return unary("clamp", ElementFn::clamp, ElementFn::clamp_grad, x, false, low, high);
}

}  // namespace demi
