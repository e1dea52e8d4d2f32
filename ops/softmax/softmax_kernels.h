#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous [rows, width] of one dtype, at least one element. log: log_softmax.
struct SoftmaxForward {
    ConstMem x;
    Mem y;
    int64_t rows, width;
    bool log;
};
struct SoftmaxBackward {
    ConstMem y, dy;
    Mem dx;
    int64_t rows, width;
    bool log;
};
using SoftmaxKernels = ForwardBackward<SoftmaxForward, SoftmaxBackward>;
DEMI_BACKENDS(SoftmaxKernels, softmax)

}  // namespace demi
