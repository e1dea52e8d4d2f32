#include "ops/sqrt/sqrt.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable sqrt(const Variable& x) { return unary("sqrt", ElementFn::sqrt, ElementFn::sqrt_grad, x, true); }

}  // namespace demi
