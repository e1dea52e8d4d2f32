#pragma once
// Takes rows of several matrices into one flat tensor, in one pass:
//
//   y = concatenation over i of flatten(sources[i][indices[i]])
//   backward: the gradient of sources[i] is zero, plus the rows of dy at the rows that indices[i] names
//
//   argument     shape                 what
//   sources[i]   [S_i, D_i]            any floating-point dtype and strides; S_i and D_i may differ, and be 0
//   indices[i]   [I_i]                 i64 or i32, each in [0, S_i); may be empty, and may name a row several times
//   y            [sum of I_i * D_i]    in the dtype of sources[0]
//
// Rows of dy that meet in one row are added in f32 (f64 for f64), in the order of the list, and rounded once. Gradients have
// the dtypes of their sources. All results are the same for any number of threads.
//
// At the boundary (ops/boundary/boundary.h) the sources are accumulators: strict rounds the rows that are taken to fp16; in
// backward it rounds dy, and the sums of rows again. wide and off only convert to y's dtype. Rows that are not taken are
// neither cast nor counted nor checked.
//
// Errors name the source or list: shapes, dtypes, devices; an index that is not a row, with its position. A list on a GPU is
// copied back to be checked, once: it is known to be good until it is written to (ops/index/row_index.h).
#include "autograd/variable.h"
#include "ops/boundary/boundary.h"

namespace demi {

Variable index_select_cat(const std::vector<Variable>& sources, const std::vector<Tensor>& indices,
                          const Boundary& boundary = {});

}  // namespace demi
