#pragma once
#include "autograd/variable.h"
#include "ops/views/dims.h"

namespace demi {

// y = the largest (smallest) element of x over `dims` (all by default), which are dropped or, with keepdim,
// kept with size 1; NaN where there is one. dy goes to the first such element in row-major order. Any dtype.
// Throws where there is nothing to compare.
Variable max(const Variable& x, const Dims& dims = {}, bool keepdim = false);
Variable min(const Variable& x, const Dims& dims = {}, bool keepdim = false);

}  // namespace demi
