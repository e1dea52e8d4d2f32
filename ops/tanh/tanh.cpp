#include "ops/tanh/tanh.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable tanh(const Variable& x) { return unary("tanh", ElementFn::tanh, ElementFn::tanh_grad, x, true); }

}  // namespace demi
