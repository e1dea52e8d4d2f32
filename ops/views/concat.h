#pragma once
#include "autograd/variable.h"

namespace demi {

// y = the xs one behind the other along `dim`; their other sizes must be equal. Dtypes promote
// (runtime/dtype.h). The gradients are views of dy (converted where the dtype differs).
Variable concat(const std::vector<Variable>& xs, int dim);

// y = the xs, of one shape, along a new dimension before `dim`.
Variable stack(const std::vector<Variable>& xs, int dim);

}  // namespace demi
