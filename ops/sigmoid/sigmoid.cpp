#include "ops/sigmoid/sigmoid.h"

#include "ops/common/elementwise.h"

namespace demi {

Variable sigmoid(const Variable& x) {
    return unary("sigmoid", ElementFn::sigmoid, ElementFn::sigmoid_grad, x, true);
}

}  // namespace demi
