#include "ops/neg/neg.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable neg(const Variable& x) { return unary("neg", ElementFn::neg, ElementFn::neg, x, false); }

}  // namespace demi
