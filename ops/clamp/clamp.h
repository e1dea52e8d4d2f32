#pragma once
#include <limits>

#include "autograd/variable.h"

namespace demi {

// y = x within [low, high], element by element; dx = dy where low <= x <= high, else 0. NaN stays NaN. Throws
// where low > high. Any shape, strides and float dtype.
Variable clamp(const Variable& x, double low, double high = std::numeric_limits<double>::infinity());

}  // namespace demi
