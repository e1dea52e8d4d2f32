#include "ops/abs/abs.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable abs(const Variable& x) { return unary("abs", ElementFn::abs, ElementFn::abs_grad, x, false); }

}  // namespace demi
