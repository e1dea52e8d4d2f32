#pragma once
#include "autograd/variable.h"
#include "ops/common/dims.h"

namespace demi {

// y = the sum of x over `dims` (all by default), which are dropped or, with keepdim, kept with size 1; dx =
// dy, stretched. Sums in f32 in blocks of fixed size and in f64 over blocks (f64 throughout for f64), in an
// order that depends on the shape only. The sum of integers or bool is i64, exact (wrapping around beyond 64
// bits). The sum of nothing is 0.
Variable sum(const Variable& x, const Dims& dims = {}, bool keepdim = false);

}  // namespace demi
