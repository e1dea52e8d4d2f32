#pragma once
// Contract: contiguous, one dtype; x and dx [..., 2 h], y and dy [..., h].
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct SwigluKernels {
    void (*forward)(const Tensor& x, Tensor& y) = nullptr;
    void (*backward)(const Tensor& x, const Tensor& dy, Tensor& dx) = nullptr;
};
DEMI_KERNEL_TABLES(SwigluKernels, swiglu)

}  // namespace demi
