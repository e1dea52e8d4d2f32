#pragma once
#include "ops/common/number.h"

namespace demi {

// y = the larger of a and b, element by element, broadcast together; NaN where one of them is NaN. dy goes to
// the operand that was taken, half to each where they are equal, none where one is NaN; summed over what
// broadcasting stretched. Dtypes promote (runtime/dtype.h); integers are compared exactly.
Variable maximum(const Variable& a, const Variable& b);

// With a number, which takes the tensor's dtype (with a point and beside integers, the result is f32).
Variable maximum(const Variable& a, const Number& b);
Variable maximum(const Number& a, const Variable& b);

}  // namespace demi
