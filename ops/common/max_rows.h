#pragma once
// Internal: x with the dimensions of `dims` moved behind the others and merged, and the first largest (or
// smallest) element of each row.
#include "ops/views/dims.h"
#include "runtime/tensor.h"

namespace demi {

struct MaxRows {
    Tensor values, indices;  // [rows], [rows] i64
    std::vector<int> order;  // the dimensions as permuted: kept ones, then reduced ones
    Shape permuted;          // x's sizes in that order
};

MaxRows max_rows(std::string_view op, const Tensor& x, const Dims& dims, bool smallest = false);

}  // namespace demi
