#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a / b, broadcast together; da = dy / b, db = -dy a / b^2, each summed over what broadcasting stretched
// and returned in its own dtype; products on the way may leave the range. Dtypes promote (runtime/dtype.h);
// the result is a float. Division by 0 follows IEEE.
Variable div(const Variable& a, const Variable& b);

// With a number, which may lie beyond the tensor's range: keeps its dtype.
Variable div(const Variable& a, double b);
Variable div(double a, const Variable& b);

}  // namespace demi
