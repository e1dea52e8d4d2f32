#pragma once
// The gate of a SwiGLU layer in one pass: the halves a, b of the last dimension give silu(a) * b.
//   forward   y = a * s(a) * b, s(a) = 1 / (1 + exp(-a))
//   backward  da = dy * b * s(a) * (1 + a * (1 - s(a))),  db = dy * a * s(a)
// x [..., 2 h] -> [..., h]; any strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64. Products may
// leave the range as long as the result fits. An odd last size throws.
#include "autograd/variable.h"

namespace demi {

Variable swiglu(const Variable& x);

}  // namespace demi
