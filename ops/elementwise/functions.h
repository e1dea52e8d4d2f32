#pragma once
// Functions of one tensor, element by element: any shape and strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64.
// Other dtypes are refused. dy is the gradient of y, dx that of x; s(x) = 1 / (1 + e^-x).
#include "ops/elementwise/number.h"

namespace demi {

// y = -x; dx = -dy.
Variable neg(const Variable& x);

// y = |x|; dx = sign(x) dy, 0 at 0.
Variable abs(const Variable& x);

// y = e^x; dx = dy y.
Variable exp(const Variable& x);

// y = ln x; dx = dy / x. log(0) is -infinity, log of a negative number NaN.
Variable log(const Variable& x);

// y = the square root of x; dx = dy / (2 y): infinite at 0, NaN there where dy is 0 too. NaN for negative x.
Variable sqrt(const Variable& x);

// y = x^2; dx = 2 x dy.
Variable square(const Variable& x);

// y = x^p for a number p; dx = dy p x^(p - 1), of which parts may leave the range. NaN for negative x with a fractional
// p, as in C.
Variable pow(const Variable& x, double p);

// y = x within [low, high]; dx = dy where low <= x <= high, else 0. NaN stays NaN. Throws where low > high. Integers too:
// their bounds must be whole and fit their dtype, or be infinite.
Variable clamp(const Variable& x, const Number& low,
               const Number& high = std::numeric_limits<double>::infinity());

// y = s(x); dx = dy y (1 - y).
Variable sigmoid(const Variable& x);

// y = tanh x; dx = dy (1 - y^2).
Variable tanh(const Variable& x);

// y = the larger of x and 0, exactly; NaN stays NaN. dx = dy where x > 0, else 0.
Variable relu(const Variable& x);

// The exact GELU: y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2, the cumulative function of the normal distribution;
// dx = dy (P(x) + x e^(-x^2 / 2) / sqrt(2 pi)). Tolerance f32: 1e-6 absolute for y and the slope beside one rounding;
// below x = -5.36 to -6 both are 0.
Variable gelu(const Variable& x);

// SiLU, also called swish: y = x s(x); dx = dy s(x) (1 + x (1 - s(x))). Tolerance f32, down to the last subnormal
// numbers: y 1e-6 relative, the slope 2e-6 of s(x) (1 + |x| (1 - s(x))).
Variable silu(const Variable& x);

// Softplus, a smooth relu: y = ln(1 + e^x), over the whole range; dx = dy s(x). Tolerance f32: 5e-7 relative.
Variable softplus(const Variable& x);

}  // namespace demi
