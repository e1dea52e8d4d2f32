#include "ops/logical/logical.h"

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
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

Tensor opposite(std::string_view op, const Tensor& truths) {
    return elementwise(op, ElementFn::rsub, {truths}, DType::boolean, 1);
}

Tensor any_of(std::string_view op, const Tensor& truths, const Dims& dims, bool keepdim) {
    const Shape kept = keep_reduced(op, truths.shape(), dims);
    const Tensor found = sum_to(truths, kept, DType::i64).to(DType::boolean);
    return found.view(keepdim ? kept : drop_reduced(truths.shape(), dims));
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
    return opposite("logical_not", truth("logical_not", x));
}

Tensor any(const Variable& x, const Dims& dims, bool keepdim) {
    const ProfileScope scope("any");
    return any_of("any", truth("any", x), dims, keepdim);
}

Tensor all(const Variable& x, const Dims& dims, bool keepdim) {
    const ProfileScope scope("all");
    return opposite("all", any_of("all", opposite("all", truth("all", x)), dims, keepdim));
}

const Variable& bool_operand(std::string_view op, const Variable& x) {
    check(x.defined() && x.dtype() == DType::boolean, op, "needs bool tensors (comparisons make them): got ",
          x.value());
    return x;
}

}  // namespace demi
