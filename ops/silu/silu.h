#pragma once
// SiLU, also called swish.
//   forward   y = x * s(x), s(x) = 1 / (1 + exp(-x))
//   backward  dx = dy * s(x) * (1 + x * (1 - s(x)))
// Any shape and strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32, down to the last
// subnormal numbers: y 1e-6 relative, the slope 2e-6 of s(x) (1 + |x| (1 - s(x))).
#include "autograd/variable.h"

namespace demi {

Variable silu(const Variable& x);

}  // namespace demi
