#pragma once
// Scales the rows of the last dimension to length 1.
//   forward   y = x / d, d = max(|x|, eps)
//   backward  dx = (dy - y (y . dy)) / d where |x| > eps, dy / d elsewhere
// x [..., n], any strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32: 5e-6 |y|, for
// every finite x: squares that leave the range are taken at another scale. A row of zeros gives 0.
#include "autograd/variable.h"

namespace demi {

Variable l2_normalize(const Variable& x, double eps = 1e-12);

}  // namespace demi
