#pragma once
// Layer normalisation over the last dimension, with an optional affine map.
//   forward   m = mean(x), r = 1 / sqrt(mean((x - m)^2) + eps), n = (x - m) * r, y = n * weight + bias
//   backward  g = dy * weight, dx = r * (g - mean(g) - n * mean(g * n))
//             dweight = sum_rows dy * n, dbias = sum_rows dy
// x [..., d], weight and bias [d] or undefined; any strides. Statistics and arithmetic in f32 (f64 for f64),
// y is rounded once to x's dtype; weight and bias may have another dtype than x (f32 beside f16), and their
// gradients have it too. Row sums run in an order that depends on the shape only. Tolerance f32, for every
// finite x: n within 4e-6 (1 + |n|), dx within 1e-5 r (1 + |n|) max|g|: the digits that a large mean leaves
// are kept, and squares that leave the range are taken at another scale. A constant row gives n = 0, and 0
// for a constant g; with eps = 0 its dx is 0.
#include "autograd/variable.h"

namespace demi {

inline constexpr double kLayernormEps = 1e-6;

Variable layernorm(const Variable& x, const Variable& weight = {}, const Variable& bias = {},
                   double eps = kLayernormEps);

// cast(layernorm(x, ...), dtype): in one pass where x is f32 and dtype f16 or bf16, to the same bits.
Variable layernorm_as(const Variable& x, DType dtype, const Variable& weight = {}, const Variable& bias = {},
                      double eps = kLayernormEps);

// One pass over a residual stream: {s, layernorm(s)} with s = x + residual, rounded to x's dtype.
// residual has x's shape and dtype. The gradients of both outputs meet in one kernel.
std::vector<Variable> add_layernorm(const Variable& x, const Variable& residual, const Variable& weight = {},
                                    const Variable& bias = {}, double eps = kLayernormEps);

// A residual stream on its way past a branch: {x, layernorm_as(x, dtype)}. The first is x itself; that it
// goes through the op lets the gradients of both meet in one kernel.
std::vector<Variable> layernorm_branch(const Variable& x, DType dtype, const Variable& weight = {},
                                       const Variable& bias = {}, double eps = kLayernormEps);

}  // namespace demi
