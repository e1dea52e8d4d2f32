#pragma once
#include "autograd/variable.h"

namespace demi {

// y = the square root of x, element by element; dx = dy / (2 y): infinite at 0, NaN there where dy is 0 too.
// NaN for negative x. Any float dtype.
Variable sqrt(const Variable& x);

}  // namespace demi
