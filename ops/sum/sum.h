#pragma once
#include "autograd/variable.h"
#include "ops/views/dims.h"

namespace demi {

// y = the sum of x over `dims` (all by default), which are dropped or, with keepdim, kept with size 1; dx =
// dy, stretched. Sums in f32 in blocks of fixed size and in f64 over blocks (f64 throughout for f64), in an
// order that depends on the shape only; in a wider type where parts leave the range though the sum may fit (a
// GPU has none for f64). Tolerance f32: 1e-6 of the sum of |x| where the last dimension is summed, else 1e-5,
// before one rounding. The sum of integers or bool is i64, exact (wrapping around beyond 64 bits). The sum of
// nothing is 0.
Variable sum(const Variable& x, const Dims& dims = {}, bool keepdim = false);

}  // namespace demi
