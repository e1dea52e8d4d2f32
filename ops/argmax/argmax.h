#pragma once
#include "runtime/tensor.h"

namespace demi {

// The place (i64) of the first largest (smallest) element along `dim`, which is dropped; NaN comes before all
// others. Any dtype; no graph.
Tensor argmax(const Tensor& x, int dim = -1);
Tensor argmin(const Tensor& x, int dim = -1);

// How many elements of two integer tensors of one shape are equal: count_equal(argmax(logits), labels).
int64_t count_equal(const Tensor& a, const Tensor& b);

}  // namespace demi
