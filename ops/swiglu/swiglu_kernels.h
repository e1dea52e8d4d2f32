#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous, one dtype: x and dx [rows, 2 half], y and dy [rows, half]; at least one element.
struct SwigluForward {
    ConstMem x;
    Mem y;
    int64_t rows, half;
};
struct SwigluBackward {
    ConstMem x, dy;
    Mem dx;
    int64_t rows, half;
};
using SwigluKernels = ForwardBackward<SwigluForward, SwigluBackward>;
DEMI_BACKENDS(SwigluKernels, swiglu)

}  // namespace demi
