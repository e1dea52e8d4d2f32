#pragma once
#include "autograd/variable.h"

namespace demi {

// The feed-forward part of a transformer block in one op: y = gelu(x w1^T + b1) w2^T + b2.
//   x [..., in], w1 [hidden, in], b1 [hidden] or undefined, w2 [out, hidden], b2 [out] or undefined -> y
//   [..., out] u = x w1^T + b1, h = gelu(u); du = (dy w2) * gelu'(u) in one pass, dw2 = dy^T h, db2 = sum of
//   dy over rows, dx = du w1, dw1 = du^T x, db1 = sum of du over rows
// The same values as linear(linear(x, w1, b1, Activation::gelu), w2, b2); dtypes, strides and errors as in
// linear. Its backward neither reads nor writes a tensor of the hidden size for gelu alone, and only u is
// kept, not h, where computing gelu again costs less than moving h.
Variable mlp(const Variable& x, const Variable& w1, const Variable& b1, const Variable& w2,
             const Variable& b2);

// y = residual + mlp(x, ...) in one pass: residual has y's shape and x's dtype, dresidual =
// dy. The sum is rounded once.
Variable mlp_add(const Variable& residual, const Variable& x, const Variable& w1, const Variable& b1,
                 const Variable& w2, const Variable& b2);

}  // namespace demi
