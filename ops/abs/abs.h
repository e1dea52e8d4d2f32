#pragma once
#include "autograd/variable.h"

namespace demi {

// y = |x|, element by element; dx = sign(x) dy, 0 at 0. Any shape, strides and float dtype.
Variable abs(const Variable& x);

}  // namespace demi
