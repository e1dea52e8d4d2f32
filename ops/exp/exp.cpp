#include "ops/exp/exp.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable exp(const Variable& x) { return unary("exp", ElementFn::exp, ElementFn::mul, x, true); }

}  // namespace demi
