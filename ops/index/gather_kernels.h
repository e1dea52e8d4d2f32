#pragma once
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

// x [rows, s], y [rows, n], index i64 [rows, n] within [0, s). All contiguous; floats of one dtype.
struct GatherKernels {
    void (*forward)(Tensor& y, const Tensor& x, const Tensor& index) = nullptr;
    void (*backward)(Tensor& dx, const Tensor& dy, const Tensor& index) = nullptr;  // writes all of dx
};
DEMI_KERNEL_TABLES(GatherKernels, gather)

}  // namespace demi
