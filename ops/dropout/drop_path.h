#pragma once
// Stochastic depth: drops whole samples (entries of the first dimension) with probability p, scales the rest
// by 1 / (1 - p).
//   forward   y_b = x_b / (1 - p) where u_b >= p, else 0; u_b in [0, 1) is element b of one draw
//   backward  dx_b = dy_b / (1 - p) where u_b >= p, else 0
// Any shape [B, ...], strides and float dtype. Outside training, or with p = 0, x itself is returned and
// nothing is drawn. p = 1 gives 0.
#include "autograd/variable.h"
#include "runtime/random.h"

namespace demi {

Variable drop_path(const Variable& x, double p, Generator& generator, bool training = true);

}  // namespace demi
