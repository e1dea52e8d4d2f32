#pragma once
#include "autograd/variable.h"

namespace demi {

// y = a where the condition is not 0, else b; all three broadcast together. dy goes to the operand that was
// taken, 0 to the other; summed over what broadcasting stretched. The condition may have any dtype and gets
// no gradient; a and b promote (runtime/dtype.h).
Variable where(const Tensor& condition, const Variable& a, const Variable& b);

// y = x, but `value` where the mask is not 0; the mask broadcasts to x's shape. dx = dy where the mask is 0,
// else 0.
Variable masked_fill(const Variable& x, const Tensor& mask, double value);

}  // namespace demi
