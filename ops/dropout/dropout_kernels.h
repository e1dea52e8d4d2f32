#pragma once
// Contract: contiguous, one shape and dtype; x and y may not overlap. Element i is kept when (word >> 8) >=
// threshold for word i of the stream that starts at block `offset` (runtime/random.h); kept elements are
// multiplied by scale.
#include "runtime/kernel_table.h"
#include "runtime/random.h"

namespace demi {

struct DropoutDraw {
    uint64_t seed = 0, offset = 0;
    uint32_t threshold = 0;
    double scale = 1;
};
// For probability p in [0, 1]: p = 1 keeps nothing.
DropoutDraw dropout_draw(Generator::Draw draw, double p);

struct DropoutKernels {
    void (*apply)(const Tensor& x, DropoutDraw draw, Tensor& y) = nullptr;  // forward on x, backward on dy
};
DEMI_KERNEL_TABLES(DropoutKernels, dropout)

}  // namespace demi
