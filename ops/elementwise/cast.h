#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x in another dtype, rounded to nearest even; x itself where it already is. dx = dy in x's dtype. To or
// from an integer dtype there is no gradient.
Variable cast(const Variable& x, DType dtype);

// y = x on another device; x itself where it already is. dx = dy back on x's device.
Variable to_device(const Variable& x, Device device);

// x without its history: the same memory, no gradient.
Variable detach(const Variable& x);

}  // namespace demi
