#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x^p for a number p, element by element; dx = dy p x^(p - 1), of which parts may leave the
// range. NaN for negative x with a fractional p, as in C. Any shape, strides and float dtype.
Variable pow(const Variable& x, double p);

}  // namespace demi
