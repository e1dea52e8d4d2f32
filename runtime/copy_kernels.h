#pragma once
// Internal: the memory operations as a table per device. Tensors of one table call live on its device and
// have the same shape.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct CopyKernels {
    void (*copy)(Tensor& dst, const Tensor& src) = nullptr;
    void (*fill)(Tensor& dst, double value) = nullptr;
    void (*accumulate)(Tensor& dst, const Tensor& src) = nullptr;
    bool (*all_finite)(const Tensor& tensor) = nullptr;
};
DEMI_KERNEL_TABLES(CopyKernels, copy)

}  // namespace demi
