#pragma once
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

// x [a, s, b], y [a, n, b], index i64 [n] within [0, s). All contiguous, of one dtype.
struct IndexSelectKernels {
    void (*forward)(Tensor& y, const Tensor& x, const Tensor& index) = nullptr;     // any dtype
    void (*backward)(Tensor& dx, const Tensor& dy, const Tensor& index) = nullptr;  // writes all of dx
};
DEMI_KERNEL_TABLES(IndexSelectKernels, index_select)

}  // namespace demi
