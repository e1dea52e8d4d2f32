#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x without dimension `dim`, whose size must be 1; a view. dx = dy with it.
Variable squeeze(const Variable& x, int dim);

// y = x with a dimension of size 1 before `dim` (rank + 1 places, -1 is the last); a view. dx = dy without
// it.
Variable unsqueeze(const Variable& x, int dim);

}  // namespace demi
