#pragma once
// Internal: the sum over equal indices on a GPU, from Tensors.
#include "runtime/tensor.h"

namespace demi {

// dx [a, s, width] = sums of the rows of dy [a, n, width] that index [n] sends to each row, in index order;
// all of dx is written. With several lists (then a is 1) dx and dy are [lists * s, width] and [lists * n,
// width], and each list of n sends to its own s rows.
struct AddRows {
    int64_t a, s, n, width;
    int64_t lists = 1;
};
void add_rows_cuda(Tensor& dx, const Tensor& dy, const Tensor& index, const AddRows& shape);

}  // namespace demi
