#include "ops/log/log.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable log(const Variable& x) { return unary("log", ElementFn::log, ElementFn::log_grad, x, false); }

}  // namespace demi
