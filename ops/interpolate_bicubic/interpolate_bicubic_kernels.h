#pragma once
#include "runtime/backends.h"

namespace demi {

// y [outer, out, inner] = taps x [outer, in, inner] along the middle axis: y_i = the sum of weight[k] x[index[k]] for k in
// [start[i], start[i + 1]), in that order. Contiguous, f32 or f64, at least one element; the lists lie on the device.
struct ApplyTaps {
    ConstMem x;
    Mem y;
    const int64_t *start, *index;
    const double* weight;
    int64_t outer, in, out, inner;
};
struct InterpolateBicubicKernels {
    void (*apply)(const ApplyTaps& call, Queue queue);
};
DEMI_BACKENDS(InterpolateBicubicKernels, interpolate_bicubic)

}  // namespace demi
