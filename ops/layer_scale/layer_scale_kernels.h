#pragma once
// Contract: contiguous; x, residual, y, dy, dx of one shape and dtype, at least one element; gamma and dgamma
// [width] in f32 (f64 for f64). residual may be undefined; so may dx and dgamma, where not wanted.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct LayerScaleKernels {
    void (*forward)(const Tensor& x, const Tensor& gamma, const Tensor& residual, Tensor& y) = nullptr;
    void (*backward)(const Tensor& x, const Tensor& gamma, const Tensor& dy, Tensor& dx,
                     Tensor& dgamma) = nullptr;
};
DEMI_KERNEL_TABLES(LayerScaleKernels, layer_scale)

}  // namespace demi
