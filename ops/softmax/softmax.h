#pragma once
// Softmax and its logarithm over one dimension (the last by default). Any shape, strides and dimension; f16, bf16 (f32
// arithmetic, rounded once), f32, f64. NaN or +inf in a row makes it NaN.
#include "autograd/variable.h"

namespace demi {

// forward   y = exp(x - max(x)) / sum(exp(x - max(x)))
// backward  dx = y * (dy - sum(dy * y))
// Tolerance f32: 5e-6 absolute at worst, where many elements share the sum; 1e-6 in rows of up to 128. A row of nothing
// but -inf (everything masked) gives 0, not NaN, and a zero gradient.
Variable softmax(const Variable& x, int dim = -1);

// forward   y = x - max(x) - log(sum(exp(x - max(x))))
// backward  dx = dy - exp(y) * sum(dy)
// Tolerance f32: 5e-6 + 5e-6 |y|, in rows of up to 128 1e-6 + 1e-6 |y|. A row of nothing but -inf gives
// -inf and a zero gradient.
Variable log_softmax(const Variable& x, int dim = -1);

}  // namespace demi
