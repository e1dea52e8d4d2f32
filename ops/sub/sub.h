#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a - b, broadcast together; da = dy, db = -dy, each summed over what broadcasting stretched and returned
// in its own dtype. Dtypes promote (runtime/dtype.h); the result is a float.
Variable sub(const Variable& a, const Variable& b);

// With a number: keeps the tensor's dtype.
Variable sub(const Variable& a, double b);
Variable sub(double a, const Variable& b);

}  // namespace demi
