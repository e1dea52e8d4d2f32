#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a * b, broadcast together; da = dy * b, db = dy * a, each summed over what broadcasting stretched and
// returned in its own dtype. Dtypes promote (runtime/dtype.h); the result is a float.
Variable mul(const Variable& a, const Variable& b);

// y = a * b for a number: keeps a's dtype.
Variable mul(const Variable& a, double b);

}  // namespace demi
