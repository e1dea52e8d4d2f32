#pragma once
// Dropout: sets elements to 0 with probability p and scales the rest by 1 / (1 - p).
//   forward   y_i = x_i / (1 - p) where u_i >= p, else 0; u_i in [0, 1) is element i (logical order) of one
//   draw backward  dx_i = dy_i / (1 - p) where u_i >= p, else 0
// The draw depends on the generator and the shape only; backward repeats it, so no mask is stored. Any shape,
// strides and float dtype. Outside training, or with p = 0, x itself is returned and nothing is drawn. p = 1
// gives 0. A dropped infinity or NaN is 0.
#include "autograd/variable.h"
#include "runtime/random.h"

namespace demi {

Variable dropout(const Variable& x, double p, Generator& generator, bool training = true);

}  // namespace demi
