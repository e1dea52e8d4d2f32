#pragma once
// The exact GELU: x times the cumulative function of the normal distribution.
//   forward   y = x * P(x), P(x) = (1 + erf(x / sqrt 2)) / 2
//   backward  dx = dy * (P(x) + x * exp(-x^2 / 2) / sqrt(2 pi))
// Any shape and strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32: 1e-6 absolute for
// y and the slope beside one rounding; below x = -5.36 to -6 both are 0.
#include "autograd/variable.h"

namespace demi {

Variable gelu(const Variable& x);

}  // namespace demi
