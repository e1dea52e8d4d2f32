#pragma once
// The larger of x and 0; NaN stays NaN.
//   forward   y = max(x, 0)
//   backward  dx = dy where x > 0, else 0
// Any shape and strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32: exact.
#include "autograd/variable.h"

namespace demi {

Variable relu(const Variable& x);

}  // namespace demi
