#pragma once
// Questions about elements: the answers are bool tensors without a graph.
#include "ops/elementwise/number.h"

namespace demi {

// y = whether a is equal to b (eq), not equal (ne), less (lt), less or equal (le), greater (gt), greater or
// equal (ge), element by element, broadcast together. Also written a == b, a != b, a < b,
// a <= b, a > b, a >= b (ops/operators.h). One of the two may be a number.
//   two tensors   are compared in the dtype that promote() gives (runtime/dtype.h); integers exactly
//   a number      is rounded to the dtype of a tensor of floats; beside integers it is compared exactly if it
//                 is whole, in f64 if not
//   NaN           is unequal to everything, itself included, and neither less nor greater
Tensor eq(const Operand& a, const Operand& b);
Tensor ne(const Operand& a, const Operand& b);
Tensor lt(const Operand& a, const Operand& b);
Tensor le(const Operand& a, const Operand& b);
Tensor gt(const Operand& a, const Operand& b);
Tensor ge(const Operand& a, const Operand& b);

// y = whether x is NaN; infinite, with either sign; neither of the two. Any dtype.
Tensor isnan(const Variable& x);
Tensor isinf(const Variable& x);
Tensor isfinite(const Variable& x);

// y = a and b, a or b, exactly one of a and b, not x, element by element, broadcast together. Any dtype:
// what is not 0 counts as true, NaN too. Also written a & b, a | b, a ^ b and !x or ~x (ops/operators.h), which
// take bool only.
Tensor logical_and(const Variable& a, const Variable& b);
Tensor logical_or(const Variable& a, const Variable& b);
Tensor logical_xor(const Variable& a, const Variable& b);
Tensor logical_not(const Variable& x);

// x, which must be bool: what the operators take.
const Variable& bool_operand(std::string_view op, const Variable& x);

}  // namespace demi
