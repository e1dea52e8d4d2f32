#pragma once
// Contract: contiguous, one shape and dtype, at least one element; sample b is the b-th entry of the first
// dimension and is kept by word b of the draw, as in ops/dropout/dropout_kernels.h.
#include "ops/dropout/dropout_kernels.h"

namespace demi {

struct DropPathKernels {
    void (*apply)(const Tensor& x, DropoutDraw draw, Tensor& y) = nullptr;  // forward on x, backward on dy
};
DEMI_KERNEL_TABLES(DropPathKernels, drop_path)

}  // namespace demi
