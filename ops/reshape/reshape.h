#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x's elements in row-major order with another shape; one size may be -1. A view where x's strides allow
// it, else a copy. dx = dy in x's shape.
Variable reshape(const Variable& x, const Shape& shape);

}  // namespace demi
