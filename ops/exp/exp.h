#pragma once
#include "autograd/variable.h"

namespace demi {

// y = e^x, element by element; dx = dy * y. Any shape, strides and float dtype.
Variable exp(const Variable& x);

}  // namespace demi
