#pragma once
#include "autograd/variable.h"

namespace demi {

// y = the smaller of a and b, element by element, broadcast together; NaN where one of them is NaN. dy goes
// to the operand that was taken, half to each where they are equal, none where one is NaN; summed over what
// broadcasting stretched. Dtypes promote (runtime/dtype.h); the result is a float.
Variable minimum(const Variable& a, const Variable& b);

}  // namespace demi
