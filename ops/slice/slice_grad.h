#pragma once
// Internal: the gradient of a slice.
#include "runtime/tensor.h"

namespace demi {

// dy at begin, begin + step, ... along `dim` of a tensor of `shape`, 0 elsewhere. dy itself where it fills
// all of it.
Tensor slice_grad(const Tensor& dy, const Shape& shape, int dim, int64_t begin, int64_t end, int64_t step);

}  // namespace demi
