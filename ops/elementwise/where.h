#pragma once
#include "ops/elementwise/number.h"

namespace demi {

// y = a where the condition holds, else b; all three broadcast together. dy goes to the operand that was
// taken, 0 to the other; summed over what broadcasting stretched. The condition is bool, as comparisons make
// it, or of any other dtype and holds where it is not 0; it gets no gradient. a and b are tensors of any
// dtype or numbers, and promote (runtime/dtype.h): a number takes the tensor's dtype (with a point and beside
// integers, f32); two numbers give i64, f32 where one has a point.
Variable where(const Variable& condition, const Operand& a, const Operand& b);

// y = x, but `value` where the mask holds (any dtype, as in where); the mask broadcasts to x's shape. dx = dy where it
// does not, else 0. Any dtype; `value` must fit it.
Variable masked_fill(const Variable& x, const Variable& mask, const Number& value);

}  // namespace demi
