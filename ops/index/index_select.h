#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x at index[i] along `dim`, for every i; index is an i64 or i32 tensor [n], repeats allowed. dx collects
// dy at the places it came from, repeats added in the order of the index (in f32, one rounding). Throws where
// an index is out of range: the message names it, its position and the size. Any dtype.
Variable index_select(const Variable& x, int dim, const Tensor& index);

}  // namespace demi
