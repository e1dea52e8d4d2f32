#pragma once
// Dimensions named by a caller, negative ones counted from the end.
#include <string_view>
#include <vector>

#include "runtime/shape.h"

namespace demi {

using Dims = std::vector<int>;  // where an op reduces over dimensions, {} means all

// `shape` with 1 in every dimension of `dims`. Throws Error(op) for one out of range or named twice.
Shape keep_reduced(std::string_view op, const Shape& shape, const Dims& dims);

// `shape` without the dimensions of `dims` (checked by keep_reduced).
Shape drop_reduced(const Shape& shape, const Dims& dims);

}  // namespace demi
