#include "ops/logical/logical.h"

#include "ops/common/elementwise.h"
#include "runtime/profile.h"

namespace demi {
namespace {

Tensor truth(std::string_view op, const Variable& x) {
    check(x.defined(), op, "needs a defined tensor: got ", x.value());
    return x.value().to(DType::boolean);
}

// Of two truths: 0 and 1.
Tensor combine(std::string_view op, ElementFn fn, const Variable& a, const Variable& b) {
    const ProfileScope scope(op);
    return elementwise(op, fn, {truth(op, a), truth(op, b)}, DType::boolean);
}

}  // namespace

Tensor logical_and(const Variable& a, const Variable& b) {
    return combine("logical_and", ElementFn::minimum, a, b);
}
Tensor logical_or(const Variable& a, const Variable& b) {
    return combine("logical_or", ElementFn::maximum, a, b);
}
Tensor logical_xor(const Variable& a, const Variable& b) {
    return combine("logical_xor", ElementFn::ne, a, b);
}
Tensor logical_not(const Variable& x) {
    const ProfileScope scope("logical_not");
    return elementwise("logical_not", ElementFn::rsub, {truth("logical_not", x)}, DType::boolean, 1);
}

const Variable& bool_operand(std::string_view op, const Variable& x) {
    check(x.defined() && x.dtype() == DType::boolean, op, "needs bool tensors (comparisons make them): got ",
          x.value());
    return x;
}

}  // namespace demi
