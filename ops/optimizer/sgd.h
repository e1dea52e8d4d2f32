#pragma once
// One step of stochastic gradient descent with momentum over many parameters at once, in PyTorch's order:
//   g = grad * grad_scale + weight_decay p;  b = momentum b + g;  p = p - lr d,  d = g + momentum b
//   (nesterov) or b
// Without momentum d = g and no buffer is needed. Buffers start at 0. Shapes, dtypes and devices as in
// ops/optimizer/adamw.h. Tensors without a gradient (undefined) are left alone.
#include "ops/optimizer/adamw.h"

namespace demi {

struct SgdTensor {
    Tensor param, grad, momentum;  // momentum: the buffer b
    double lr = 1e-2, weight_decay = 0;
    Tensor factor{};                       // as in ops/optimizer/adamw.h
    std::function<StepNumbers()> again{};  // the same; step is not looked at
};

struct SgdOptions {
    double momentum = 0;
    bool nesterov = false;
    double grad_scale = 1;  // 1 / loss scale, times the clipping factor
};

void sgd(std::span<const SgdTensor> tensors, const SgdOptions& options = {});

}  // namespace demi
