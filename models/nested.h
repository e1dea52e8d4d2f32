#pragma once
// Several batches of different sequence lengths as one packed sequence, as DINOv2's blocks do it.
#include <utility>

#include "models/context.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"

namespace demi {

// Rows that stay when `drop` of `batch` are dropped: max(int(batch * (1 - drop)), 1), and 0 of 0.
int64_t kept_rows(int64_t batch, double drop);
// The first `count` numbers of a permutation as an int64 tensor.
Tensor first_rows(const std::vector<int64_t>& permutation, int64_t count, Device device);
// The rows of a batch that stay, drawn by the context; drawn again in each replay of a captured step.
Tensor drawn_rows(const ForwardContext& context, int64_t batch, int64_t kept, Device device);

// x_k [B_k, N_k, D], rows indices[k] of each -> [1, sum_k I_k N_k, D] and the mask that keeps samples apart.
// With indices the rows go through index_select_cat (and its boundary); without, all rows are concatenated.
std::pair<BlockDiagonalMask, Variable> get_attn_bias_and_cat(const std::vector<Variable>& list,
                                                             const std::vector<Tensor>& indices,
                                                             const Boundary& boundary);
std::pair<BlockDiagonalMask, Variable> get_attn_bias_and_cat(const std::vector<Variable>& list);

// x with alpha * gamma * residual added at rows `index`: scaled_index_add where there is a LayerScale gamma,
// otherwise a plain index_add in x's dtype.
Variable add_residual(const Variable& x, const Tensor& index, const Variable& residual, const Variable& gamma,
                      double alpha, const Boundary& boundary);

}  // namespace demi
