#pragma once
#include "autograd/variable.h"

namespace demi {

// y = tanh x, element by element; dx = dy (1 - y^2). Any shape, strides and float dtype.
Variable tanh(const Variable& x);

}  // namespace demi
