#pragma once
// Contract: contiguous, one shape and dtype; x and y may not overlap. Element i is kept when (word >> 8) >=
// threshold for word i of the stream that starts at block `at.offset` (runtime/random.h); kept elements are
// multiplied by scale.
#include "runtime/capture.h"
#include "runtime/kernel_table.h"

namespace demi {

struct DropoutDraw {
    LiveDraw at;
    uint32_t threshold = 0;
    double scale = 1;
};
// For probability p in [0, 1]: p = 1 keeps nothing.
DropoutDraw dropout_draw(LiveDraw draw, double p);

struct DropoutKernels {
    void (*apply)(const Tensor& x, DropoutDraw draw, Tensor& y) = nullptr;  // forward on x, backward on dy
};
DEMI_KERNEL_TABLES(DropoutKernels, dropout)

}  // namespace demi
