#pragma once
// Internal: index_select_cat across the boundary, forward and backward on Tensors, fused or with explicit
// casts.
#include "ops/boundary/boundary.h"
#include "runtime/tensor.h"

namespace demi {

struct IndexSelectCatCall {
    std::vector<Tensor> indices;  // contiguous i64, checked
    std::vector<Shape> shapes;    // of the sources
    std::vector<DType> dtypes;    // of the gradients that kernels write; the first is that of y
    std::vector<int64_t> begins;  // where each source's part of y begins; one more: the length of y
    Boundary boundary;            // mode off where nothing is cast

    Tensor forward(const std::vector<Tensor>& sources) const;
    // Gradients of the sources with needs[i], in dtypes[i]; the others stay undefined.
    std::vector<Tensor> backward(const Tensor& dy, const std::vector<bool>& needs) const;
};

}  // namespace demi
