#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x at index[i] along `dim`, for every i. index is i64 or i32, [n]; it may name an index several times. Backward: dx is the
// sum of dy over the places that took each slice, added in the order of the index (in f32, rounded once). Any dtype. Error
// where an index is out of range, with its position and the size; an index on a GPU is copied back to be checked, once until
// it is written to.
Variable index_select(const Variable& x, int dim, const Tensor& index);

}  // namespace demi
