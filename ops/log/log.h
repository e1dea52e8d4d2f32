#pragma once
#include "autograd/variable.h"

namespace demi {

// y = ln x, element by element; dx = dy / x. log(0) is -infinity, log of a negative number NaN. Any float
// dtype.
Variable log(const Variable& x);

}  // namespace demi
