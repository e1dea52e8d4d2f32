#pragma once
// Contract: x [outer, taps.in, inner] and y [outer, taps.out, inner], contiguous, both f32 or both f64, at
// least one element; y = taps x along the middle axis, terms added in the order of the taps.
#include "ops/interpolate_bicubic/taps.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct InterpolateBicubicKernels {
    void (*apply)(const Tensor& x, const Taps& taps, Tensor& y) = nullptr;
};
DEMI_KERNEL_TABLES(InterpolateBicubicKernels, interpolate_bicubic)

}  // namespace demi
