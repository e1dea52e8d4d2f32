#pragma once
#include "autograd/variable.h"
#include "ops/common/dims.h"

namespace demi {

// y = x with dimension i taken from dims[i], a view; dx = dy put back in order.
Variable permute(const Variable& x, const Dims& dims);

}  // namespace demi
