#pragma once
#include "autograd/variable.h"

namespace demi {

// y = -x, element by element; dx = -dy. Any shape, strides and float dtype.
Variable neg(const Variable& x);

}  // namespace demi
