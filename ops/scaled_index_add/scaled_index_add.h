#pragma once
// Adds rows of `source`, each scaled, to the rows of `input` that a list names:
//
//   out = input
//   for b in order:   out[index[b]] += (alpha * scaling) * source[b]
//
// With dy the gradient of out, backward gives
//
//   input     dy
//   source    (alpha * dy[index[b]]) * scaling                         for each b
//   scaling   sum over b and m of (alpha * dy[index[b], m]) * source[b, m]
//
//   argument   shape         what
//   input      [B, M, D]     any floating-point dtype and strides; it does not change
//   index      [N]           i64 or i32, each in [0, B); may be empty, and may name a row several times
//   source     [N, M, D]     any floating-point dtype and strides
//   scaling    [D]           any floating-point dtype and stride, or undefined: ones
//   alpha      a number      f32
//   out        [B, M, D]     in input's dtype
//
// Arithmetic in f32 (f64 where input is f64): each product and each sum is rounded. A row that is named several times is
// summed in f32, in the order of the list, and rounded to out's dtype once. The gradient of scaling is summed in an order
// that depends on shapes only. Gradients have the dtypes of their tensors.
//
// At the boundary (ops/boundary/boundary.h) input is an accumulator, source and scaling are operands:
//
//   strict   input, source and scaling are rounded to fp16, and out in the rows that were added to. Backward: dy is rounded,
//            and so is each gradient.
//   wide     source and scaling are rounded. input is not, and rows that are not named keep their bits. Backward: dy is
//            rounded for the gradients of source and scaling, which are not; the gradient of input is dy itself.
//   off      nothing is rounded but the result, to its dtype.
//
// Counted are input, source and scaling as they enter, and as "result" the rows of out that were added to.
//
// Errors name all tensors: shapes, dtypes or devices that do not fit; an index that is not a row, with its position. A list on
// a GPU is copied back to be checked, once: it is known to be good until it is written to (ops/index/row_index.h).
#include "autograd/variable.h"
#include "ops/boundary/boundary.h"

namespace demi {

Variable scaled_index_add(const Variable& input, const Tensor& index, const Variable& source,
                          const Variable& scaling = {}, float alpha = 1, const Boundary& boundary = {});

// The same values in place, without a graph: writes to `input`; in wide and off only to the rows that are named. Error where
// source or scaling shares memory with input.
void scaled_index_add_(Tensor input, const Tensor& index, const Tensor& source, const Tensor& scaling = {},
                       float alpha = 1, const Boundary& boundary = {});

}  // namespace demi
