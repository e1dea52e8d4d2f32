#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x stretched to `shape`: new dimensions in front, sizes of 1 repeated, -1 where a size stays; a view
// with strides of 0. dx = dy summed over what was stretched (in f32 or f64, one rounding, in a fixed order).
Variable expand(const Variable& x, const Shape& shape);

}  // namespace demi
