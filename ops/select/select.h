#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x at `index` along `dim`, which is dropped; a view. A negative index counts from the end. dx is dy
// there, 0 elsewhere.
Variable select(const Variable& x, int dim, int64_t index);

}  // namespace demi
