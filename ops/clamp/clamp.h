#pragma once
#include "ops/common/number.h"

namespace demi {

// y = x within [low, high], element by element; dx = dy where low <= x <= high, else 0. NaN stays NaN. Throws
// where low > high. Any dtype; the bounds of integers must be whole and fit their dtype, or be infinite.
Variable clamp(const Variable& x, const Number& low,
               const Number& high = std::numeric_limits<double>::infinity());

}  // namespace demi
