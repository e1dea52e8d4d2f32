#pragma once
// out = input; out[index[b]] += alpha * scaling * source[b], for b in order.
//
//   input    [B, M, D], f32, bf16, f16 or f64, any strides
//   index    [Bi], i64 or i32, values in [0, B); empty, full and duplicate ones are fine
//   source   [Bi, M, D], scaling [D] or undefined (ones), alpha in f32
//   out      [B, M, D] in the dtype of input; input itself does not change
// Arithmetic in f32 (f64 for f64), (alpha * scaling) * source + input, never contracted; a row named more
// than once collects its sum in f32, in the order of the list, and is rounded once. Backward: input dy;
// source (alpha * dy[index]) * scaling; scaling the sum of (alpha * dy[index]) * source over b and m, in f32,
// in an order that depends on shapes only. Gradients have the dtypes of their values; dy may have any
// strides.
//
// Boundary (ops/boundary/boundary.h):
//   strict  input, source and scaling are rounded to fp16, out too (in every row); backward dy is rounded,
//   and each gradient wide    source and scaling are rounded; input is not, its other rows keep their bits.
//   Backward dy is rounded on
//           its way to source and scaling, whose gradients leave unrounded; input gets dy itself
//   off     nothing is rounded but the result, to its dtype
// What is counted: input, source, scaling as they enter; in "result" the rows that were added to.
#include "autograd/variable.h"
#include "ops/boundary/boundary.h"

namespace demi {

Variable scaled_index_add(const Variable& input, const Tensor& index, const Variable& source,
                          const Variable& scaling = {}, float alpha = 1, const Boundary& boundary = {});

// The same in place, for inference: the same bits as above, written to `input`. In wide and off only the rows
// named are touched. Refuses a source or scaling that shares memory with input.
void scaled_index_add_(Tensor input, const Tensor& index, const Tensor& source, const Tensor& scaling = {},
                       float alpha = 1, const Boundary& boundary = {});

}  // namespace demi
