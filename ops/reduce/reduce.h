#pragma once
// One result for many elements. `dims` are the dimensions that are reduced (all by default); they are dropped or, with
// keepdim, kept with size 1.
#include "autograd/variable.h"
#include "ops/views/dims.h"

namespace demi {

// y = the sum of x over `dims`; dx = dy, stretched. Sums in f32 in blocks of fixed size and in f64 over blocks (f64
// throughout for f64), in an order that depends on the shape only; in a wider type where parts leave the range though
// the sum may fit. Tolerance f32: 1e-6 of the sum of |x| where the last dimension is summed, else 1e-5, before one
// rounding. The sum of integers or bool is i64, exact (wrapping around beyond 64 bits). The sum of nothing is 0.
Variable sum(const Variable& x, const Dims& dims = {}, bool keepdim = false);

// y = the mean of x over `dims`; dx = dy / n, stretched. Summed like sum(), rounded once: the mean fits where x does.
// The mean of nothing is NaN. Throws for integers and bool, whose mean needs a dtype: mean(cast(x, DType::f32)).
Variable mean(const Variable& x, const Dims& dims = {}, bool keepdim = false);

// y = the largest (smallest) element of x over `dims`; NaN where there is one. dy goes to the first such element in
// row-major order. Any dtype. Throws where there is nothing to compare.
Variable max(const Variable& x, const Dims& dims = {}, bool keepdim = false);
Variable min(const Variable& x, const Dims& dims = {}, bool keepdim = false);

// The place (i64) of the first largest (smallest) element along `dim`, which is dropped; NaN comes before all others.
// Any dtype; no graph.
Tensor argmax(const Tensor& x, int dim = -1);
Tensor argmin(const Tensor& x, int dim = -1);

// y = whether any element of x, or every one, is not 0, over `dims`. Any dtype, bool; no graph. Of nothing: any is false,
// all is true.
Tensor any(const Variable& x, const Dims& dims = {}, bool keepdim = false);
Tensor all(const Variable& x, const Dims& dims = {}, bool keepdim = false);

// How many elements of two integer tensors of one shape are equal: count_equal(argmax(logits), labels).
int64_t count_equal(const Tensor& a, const Tensor& b);

}  // namespace demi
