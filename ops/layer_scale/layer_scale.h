#pragma once
// A learned factor per channel (the last dimension).
//   layer_scale      y = gamma * x;             dx = dy * gamma, dgamma = sum_rows dy * x
//   layer_scale_add  y = residual + gamma * x;  the same, and dresidual = dy
// x, residual [..., d] of one shape and dtype, gamma [d] of any float dtype (its gradient has it
// too); any strides. f32 arithmetic (f64 for f64), y rounded once. Row sums run in an order that
// depends on the shape only.
#include "autograd/variable.h"

namespace demi {

Variable layer_scale(const Variable& x, const Variable& gamma);
Variable layer_scale_add(const Variable& residual, const Variable& x, const Variable& gamma);

}  // namespace demi
