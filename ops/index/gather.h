#pragma once
#include "autograd/variable.h"

namespace demi {

// y[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`. index is i64 or i32 and has x's shape but for that dimension; y has
// index's shape. Backward: dx is the sum of dy over the places that took each element, added in the order of the index (in
// f32, rounded once). Any float dtype. Error where an index is out of range, with its position and the size; an index on a GPU
// is copied back to be checked, once until it is written to.
Variable gather(const Variable& x, int dim, const Tensor& index);

}  // namespace demi
