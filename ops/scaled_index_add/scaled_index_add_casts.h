#pragma once
// Internal: scaled_index_add across the boundary, forward and backward on Tensors, fused or with explicit
// casts.
#include "ops/common/boundary.h"
#include "runtime/tensor.h"

namespace demi {

struct ScaledIndexAddCall {
    Tensor index;  // contiguous i64, checked
    float alpha = 1;
    Boundary boundary;  // mode off for f64

    // All tensors f64, or f32, bf16 and f16 in any mixture; scaling may be undefined.
    Tensor forward(const Tensor& input, const Tensor& source, const Tensor& scaling) const;
    void in_place(Tensor& input, const Tensor& source, const Tensor& scaling) const;

    struct Wanted {
        bool input = false, source = false, scaling = false;
    };
    struct Gradients {
        Tensor input, source, scaling;  // defined where wanted
    };
    // source is read for the gradient of scaling only; the dtypes are those of the gradients.
    Gradients backward(const Tensor& dy, const Tensor& source, const Tensor& scaling, DType source_dtype,
                       Wanted wanted) const;
};

}  // namespace demi
