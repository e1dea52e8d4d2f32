#pragma once
// Arithmetic of two tensors, broadcast together, or of a tensor and a number; also written a + b, a - b, a * b, a / b and
// -a (ops/operators.h). Gradients are summed over what broadcasting stretched and returned in the operand's own dtype.
// Dtypes promote (runtime/dtype.h); the result of + - * / is a float.
#include "ops/elementwise/number.h"

namespace demi {

// y = a + b; da = dy, db = dy. A number keeps the tensor's dtype, here and below.
Variable add(const Variable& a, const Variable& b);
Variable add(const Variable& a, double b);

// y = a - b; da = dy, db = -dy.
Variable sub(const Variable& a, const Variable& b);
Variable sub(const Variable& a, double b);
Variable sub(double a, const Variable& b);

// y = a * b; da = dy * b, db = dy * a.
Variable mul(const Variable& a, const Variable& b);
Variable mul(const Variable& a, double b);

// y = a / b; da = dy / b, db = -dy a / b^2, of which products on the way may leave the range. Division by 0 follows
// IEEE. A number may lie beyond the tensor's range.
Variable div(const Variable& a, const Variable& b);
Variable div(const Variable& a, double b);
Variable div(double a, const Variable& b);

// y = the larger (smaller) of a and b; NaN where one of them is NaN. dy goes to the operand that was taken, half to each
// where they are equal, none where one is NaN. Integers are compared exactly. A number takes the tensor's dtype (with a
// point and beside integers, the result is f32).
Variable maximum(const Variable& a, const Variable& b);
Variable maximum(const Variable& a, const Number& b);
Variable maximum(const Number& a, const Variable& b);
Variable minimum(const Variable& a, const Variable& b);
Variable minimum(const Variable& a, const Number& b);
Variable minimum(const Number& a, const Variable& b);

}  // namespace demi
