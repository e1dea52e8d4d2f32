#pragma once
#include "autograd/variable.h"

namespace demi {

enum class Activation { none, gelu };

// y = act(x weight^T + bias); with Activation::gelu the product's last step applies it (by erf).
//   x [..., in], weight [out, in], bias [out] or undefined -> y [..., out]
//   du = dy * act'(u), dx = du weight, dweight = du^T x, dbias = sum of du over rows; u = x weight^T + bias
// x in f16, bf16, f32 or f64. weight and bias have x's dtype, or f32 beside a 16-bit x: then they are rounded
// to x's dtype as they are read, and their gradients are f32. Sums in f32 (f64 for f64), one rounding; with
// gelu u is rounded before. Any strides. Throws Error where sizes, dtypes or devices do not fit.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {},
                Activation activation = Activation::none);

// y = residual + x weight^T + bias in one pass: residual has y's shape and x's dtype, dresidual = dy. The sum
// is rounded once.
Variable linear_add(const Variable& residual, const Variable& x, const Variable& weight,
                    const Variable& bias = {});

}  // namespace demi
