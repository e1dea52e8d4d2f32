#pragma once
#include "autograd/variable.h"

namespace demi {

// y[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`: index (i64 or i32) has x's shape but for that
// dimension, y has index's shape. dx collects dy at the places it came from, repeats added in the order of
// the index (in f32, one rounding). Throws where an index is out of range: the message names it, its position
// and the size. Any float dtype.
Variable gather(const Variable& x, int dim, const Tensor& index);

}  // namespace demi
