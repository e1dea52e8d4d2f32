#pragma once
#include "autograd/variable.h"

namespace demi {

// y = the square root of x, element by element; dx = dy / (2 y), infinite at 0. NaN for negative x. Any float
// dtype.
Variable sqrt(const Variable& x);

}  // namespace demi
