#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x^2, element by element; dx = 2 x dy. Any shape, strides and float dtype.
Variable square(const Variable& x);

}  // namespace demi
