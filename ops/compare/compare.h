#pragma once
#include "ops/common/number.h"

namespace demi {

// y = whether a is equal to b (eq), not equal (ne), less (lt), less or equal (le), greater (gt), greater or
// equal (ge): bool, element by element, broadcast together; no graph. Also written a == b, a != b, a < b,
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

// y = whether x is NaN; infinite, with either sign; neither of the two. Any dtype, bool; no graph.
Tensor isnan(const Variable& x);
Tensor isinf(const Variable& x);
Tensor isfinite(const Variable& x);

}  // namespace demi
