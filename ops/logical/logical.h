#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a and b, a or b, exactly one of a and b, not x: bool, element by element, broadcast together; no graph.
// Any dtype: what is not 0 counts as true, NaN too. Also written a & b, a | b, a ^ b and !x or ~x
// (ops/operators.h), which take bool only.
Tensor logical_and(const Variable& a, const Variable& b);
Tensor logical_or(const Variable& a, const Variable& b);
Tensor logical_xor(const Variable& a, const Variable& b);
Tensor logical_not(const Variable& x);

// x, which must be bool: what the operators take.
const Variable& bool_operand(std::string_view op, const Variable& x);

}  // namespace demi
