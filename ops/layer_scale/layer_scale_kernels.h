#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous, at least one element: x, residual, y, dy and dx [rows, width] of one dtype; gamma and dgamma [width] in
// f32 (f64 for f64). Absent: residual (adds nothing), dx and dgamma (not wanted).
struct LayerScaleForward {
    ConstMem x, gamma, residual;
    Mem y;
    int64_t rows, width;
};
struct LayerScaleBackward {
    ConstMem x, gamma, dy;
    Mem dx, dgamma;
    int64_t rows, width;
};
using LayerScaleKernels = ForwardBackward<LayerScaleForward, LayerScaleBackward>;
DEMI_BACKENDS(LayerScaleKernels, layer_scale)

}  // namespace demi
