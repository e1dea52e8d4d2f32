#pragma once
#include "autograd/variable.h"

namespace demi {

// y = 1 / (1 + e^-x), element by element; dx = dy y (1 - y). Any shape, strides and float dtype.
Variable sigmoid(const Variable& x);

}  // namespace demi
