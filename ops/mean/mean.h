#pragma once
#include "autograd/variable.h"
#include "ops/views/dims.h"

namespace demi {

// y = the mean of x over `dims` (all by default), which are dropped or, with keepdim, kept with size 1; dx =
// dy / n, stretched. Summed like sum(), rounded once: the mean fits where x does. The mean of nothing is NaN.
// Throws for integers and bool, whose mean needs a dtype: mean(cast(x, DType::f32)).
Variable mean(const Variable& x, const Dims& dims = {}, bool keepdim = false);

}  // namespace demi
