#pragma once
// Softmax over one dimension (the last by default).
//   forward   y = exp(x - max(x)) / sum(exp(x - max(x)))
//   backward  dx = y * (dy - sum(dy * y))
// Any shape, strides and dimension; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32: 5e-6
// absolute at worst, where many elements share the sum; 1e-6 in rows of up to 128. A row of nothing but -inf
// (everything masked) gives 0, not NaN, and a zero gradient. NaN or +inf in a row makes it NaN.
#include "autograd/variable.h"

namespace demi {

Variable softmax(const Variable& x, int dim = -1);

}  // namespace demi
