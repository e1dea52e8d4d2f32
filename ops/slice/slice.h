#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x at begin, begin + step, ... below end along `dim`, a view; 0 <= begin <= end <= size. dx is dy at
// those places, 0 elsewhere.
Variable slice(const Variable& x, int dim, int64_t begin, int64_t end, int64_t step = 1);

}  // namespace demi
