#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a + b, broadcast together; da = dy, db = dy, each summed over what broadcasting stretched and returned
// in its own dtype. Dtypes promote (runtime/dtype.h); the result is a float.
Variable add(const Variable& a, const Variable& b);

// y = a + b for a number: keeps a's dtype.
Variable add(const Variable& a, double b);

}  // namespace demi
