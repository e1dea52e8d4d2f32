#include "ops/square/square.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable square(const Variable& x) {
    return unary("square", ElementFn::square, ElementFn::square_grad, x, false);
}

}  // namespace demi
