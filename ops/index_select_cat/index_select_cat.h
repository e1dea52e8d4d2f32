#pragma once
// y = cat_i(flatten(sources[i][indices[i]])): takes rows of several matrices into one flat tensor, in one
// pass.
//
//   sources[i]  [S_i, D_i], f32, bf16, f16 or f64, any strides; any D_i, S_i (0 too)
//   indices[i]  [I_i], i64 or i32, values in [0, S_i); empty lists, duplicates and full permutations are fine
//   y           [sum_i I_i * D_i] in the dtype of sources[0]
// Backward: grad_i = zeros [S_i, D_i] in the dtype of sources[i], plus dy's rows at indices[i]. Duplicates
// are added in f32 (f64 for f64) in the order of the list and rounded once.
//
// Boundary (ops/boundary/boundary.h): strict rounds what it takes to fp16; backward it rounds dy to fp16, and
// the sums of duplicates again. wide and off copy bits. Only the rows taken are cast, counted and checked.
// Results are the same for any number of threads.
#include "autograd/variable.h"
#include "ops/boundary/boundary.h"

namespace demi {

Variable index_select_cat(const std::vector<Variable>& sources, const std::vector<Tensor>& indices,
                          const Boundary& boundary = {});

}  // namespace demi
