#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous, at least one element: x, y, dy and dx [rows, width] of one dtype; norms [rows] in f32 (f64 for f64).
struct L2NormalizeForward {
    ConstMem x;
    Mem y, norms;
    int64_t rows, width;
    double eps;
};
struct L2NormalizeBackward {
    ConstMem x, norms, dy;
    Mem dx;
    int64_t rows, width;
    double eps;
};
using L2NormalizeKernels = ForwardBackward<L2NormalizeForward, L2NormalizeBackward>;
DEMI_BACKENDS(L2NormalizeKernels, l2_normalize)

}  // namespace demi
