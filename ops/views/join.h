#pragma once
// Internal: the gradient of a split.
#include "runtime/tensor.h"

namespace demi {

// A tensor of `shape` whose piece k along `dim`, sizes[k] long, is pieces[k], or 0 where that is undefined;
// at least one is defined. The buffer of the pieces itself where they lie in it side by side.
Tensor join(std::span<const Tensor> pieces, const std::vector<int64_t>& sizes, int dim, const Shape& shape);

}  // namespace demi
