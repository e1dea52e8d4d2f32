#pragma once
// Logarithm of the softmax over one dimension (the last by default).
//   forward   y = x - max(x) - log(sum(exp(x - max(x))))
//   backward  dx = dy - exp(y) * sum(dy)
// Any shape, strides and dimension; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Tolerance f32: 5e-6 +
// 5e-6 |y|, in rows of up to 128 1e-6 + 1e-6 |y|. A row of nothing but -inf (everything masked) gives -inf
// and a zero gradient. NaN or +inf in a row makes it NaN.
#include "autograd/variable.h"

namespace demi {

Variable log_softmax(const Variable& x, int dim = -1);

}  // namespace demi
