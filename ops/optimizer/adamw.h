#pragma once
// One AdamW step (decoupled weight decay) over many parameters at once, in PyTorch's order:
//   g = grad * grad_scale;  p = p (1 - lr weight_decay)
//   m = m + (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g
//   p = p - (lr / (1 - beta1^step)) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
// param, grad, exp_avg (m), exp_avg_sq (v) of one shape, on one device; all but grad contiguous. m and v are
// f32 (f64 for f64 parameters) and start at 0; param and grad may be f16, bf16 or f32 each. Tensors without a
// gradient (undefined) are left alone. Writes in place through Tensor: saved tensors that are stale
// afterwards throw. Where (1 - beta2) g g leaves f32's range v does as PyTorch's: with beta2 = 0.999 it is
// infinite from |g| = 6e20 on and stays so (no further step for that element; NaN should m overflow too), and
// 0 below 1e-22, where eps alone divides.
#include <functional>

#include "runtime/tensor.h"

namespace demi {

// What differs from step to step.
struct StepNumbers {
    double lr = 0, weight_decay = 0;
    int64_t step = 1;
};

struct AdamwTensor {
    Tensor param, grad, exp_avg, exp_avg_sq;
    double lr = 1e-3, weight_decay = 0;
    int64_t step = 1;  // of this tensor, counted from 1
    // f64 [1] on the same device, or undefined: multiplies grad_scale. The tensor is left alone where it is
    // not finite. It is read on the device, where grad_norm made it, without waiting.
    Tensor factor{};
    // In a captured step (runtime/captured_step.h): the numbers of each later replay. Without it they stay,
    // and `step` grows by 1 each time.
    std::function<StepNumbers()> again{};
};

struct AdamwOptions {
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    double grad_scale = 1;  // 1 / loss scale, times the clipping factor
};

void adamw(std::span<const AdamwTensor> tensors, const AdamwOptions& options = {});

}  // namespace demi
