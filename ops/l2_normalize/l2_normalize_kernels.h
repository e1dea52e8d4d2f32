#pragma once
// Contract: contiguous [rows, width], at least one element; norms [rows] in f32 (f64 for f64).
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct L2NormalizeKernels {
    void (*forward)(const Tensor& x, double eps, Tensor& y, Tensor& norms) = nullptr;
    void (*backward)(const Tensor& x, const Tensor& norms, double eps, const Tensor& dy,
                     Tensor& dx) = nullptr;
};
DEMI_KERNEL_TABLES(L2NormalizeKernels, l2_normalize)

}  // namespace demi
