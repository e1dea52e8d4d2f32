#pragma once
// Internal: scaled_index_add across the boundary, forward and backward on Tensors, fused or with explicit
// casts.
#include "ops/boundary/boundary.h"
#include "runtime/tensor.h"

namespace demi {

struct ScaledIndexAddCall {
    Tensor index;  // contiguous i64, checked
    float alpha = 1;
    Boundary boundary;  // mode off for f64

    // As the kernels read them (all f64, or f32, bf16 and f16 in any mixture), and as they came; scaling may be
    // undefined.
    struct Operands {
        Tensor input, source, scaling;
        Tensor given_source, given_scaling;
        CastCounters source_counters, scaling_counters;
    };
    Operands read(const Tensor& input, const Tensor& source, const Tensor& scaling) const;
    Tensor forward(const Operands& x) const;
    void in_place(const Operands& x) const;  // into x.input

    struct Wanted {
        bool input = false, source = false, scaling = false;
    };
    struct Gradients {
        Tensor input, source, scaling;  // defined where wanted
    };
    // source is read for the gradient of scaling only; the dtypes are those of the gradients.
    Gradients backward(const Tensor& dy, const Tensor& source, const Tensor& scaling, DType source_dtype,
                       DType scaling_dtype, Wanted wanted) const;
};

}  // namespace demi
