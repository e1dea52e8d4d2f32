#pragma once
#include "autograd/variable.h"

namespace demi {

// Pieces of x of these sizes along `dim`, as views; the sizes must add up. dx joins the pieces' gradients: each is
// written once into one buffer (0 for a piece without a gradient); where they already lie side by side in one buffer,
// dx is that buffer, without a copy.
std::vector<Variable> split(const Variable& x, const std::vector<int64_t>& sizes, int dim);

// `count` pieces of equal size; throws where x does not divide. At most 2^20 pieces, as of unbind: a
// dimension that expand() has made may hold more than memory does.
std::vector<Variable> chunk(const Variable& x, int64_t count, int dim);

// One piece per index along `dim`, without that dimension.
std::vector<Variable> unbind(const Variable& x, int dim = 0);

}  // namespace demi
