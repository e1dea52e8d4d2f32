#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x at begin, begin + step, ... below end along `dim`, a view. Negative begin and end count from the end;
// a range that leaves the dimension is refused. dx is dy at those places, 0 elsewhere.
Variable slice(const Variable& x, int dim, int64_t begin, int64_t end = kToEnd, int64_t step = 1);

}  // namespace demi
