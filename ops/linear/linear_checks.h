#pragma once
// What linear and mlp ask of a layer's parameters.
#include "ops/op.h"

namespace demi {

// weight [out, in] and bias [out] (or undefined) fit x [..., in]: sizes, dtypes, devices. Throws
// Error with the names given.
void check_layer(const Op& op, std::string_view weight_name, std::string_view bias_name, const Tensor& x,
                 int64_t in, const Tensor& weight, const Tensor& bias);

// The residual of linear_add and mlp_add, contiguous: it has the result's shape and x's dtype and device.
Tensor checked_residual(const Op& op, const Tensor& x, const Shape& shape, const Tensor& residual);

// x [..., in] as [rows, in].
Tensor as_rows(const Tensor& x);
// Its shape with another last size.
Shape with_last(const Shape& shape, int64_t size);

}  // namespace demi
