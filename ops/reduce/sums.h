#pragma once
// Internal: sums of Tensors without a graph, and gradients of broadcast operands.
#include "ops/elementwise/elementwise_kernels.h"
#include "runtime/tensor.h"

namespace demi {

// scale * the sum of x over the dimensions that broadcasting `shape` to x's shape would stretch: `shape` and
// `dtype` come out. Sums run in f32 or f64, in an order that depends on shapes only; for a dtype of i64,
// where x holds integers or bool, exactly. x itself where there is nothing to do.
Tensor sum_to(const Tensor& x, const Shape& shape, DType dtype, double scale = 1);

// The same of x * y (broadcast together), with one rounding.
Tensor sum_product_to(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype);

// A gradient of an operand of shape `shape`: fn(operands...) summed to it, with one rounding.
Tensor elementwise_to(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands,
                      const Shape& shape, DType dtype);

}  // namespace demi
