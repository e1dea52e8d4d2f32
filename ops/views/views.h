#pragma once
// Other shapes of the same elements. All are views of x's memory but a reshape() that x's strides do not allow. The
// gradient of each is dy in x's shape. Any dtype. Dimensions count from the end where they are negative.
#include "autograd/variable.h"
#include "ops/views/dims.h"

namespace demi {

// y = x's elements in row-major order with another shape; one size may be -1. A view where x's strides allow it, else a
// copy. dx = dy in x's shape.
Variable reshape(const Variable& x, const Shape& shape);

// y = x with dimensions a and b swapped; dx = dy swapped back.
Variable transpose(const Variable& x, int a, int b);

// y = x with dimension i taken from dims[i]; dx = dy put back in order.
Variable permute(const Variable& x, const Dims& dims);

// y = x at begin, begin + step, ... below end along `dim`. Negative begin and end count from the end; a range that
// leaves the dimension is refused. dx is dy at those places, 0 elsewhere.
Variable slice(const Variable& x, int dim, int64_t begin, int64_t end = kToEnd, int64_t step = 1);

// y = x at `index` along `dim`, which is dropped. A negative index counts from the end. dx is dy there, 0 elsewhere.
Variable select(const Variable& x, int dim, int64_t index);

// y = x without dimension `dim`, whose size must be 1. dx = dy with it.
Variable squeeze(const Variable& x, int dim);

// y = x with a dimension of size 1 before `dim` (rank + 1 places, -1 is the last). dx = dy without it.
Variable unsqueeze(const Variable& x, int dim);

// y = x stretched to `shape`: new dimensions in front, sizes of 1 repeated, -1 where a size stays; strides of 0. dx = dy
// summed over what was stretched (in f32 or f64, one rounding, in a fixed order).
Variable expand(const Variable& x, const Shape& shape);

}  // namespace demi
