#pragma once
// Internal: the kernel behind every element-wise op. out = fn(operands...), element by element: operands have
// out's shape (stretched by strides of 0), any strides and dtypes. Arithmetic in f32, or in f64 where any of
// them is f64 (then out is f64 too); one rounding to out's dtype.
#include <span>

#include "ops/common/element_fn.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct ElementwiseKernels {
    void (*apply)(ElementFn fn, Tensor& out, std::span<const Tensor> operands, double p, double q) = nullptr;
};
DEMI_KERNEL_TABLES(ElementwiseKernels, elementwise)

}  // namespace demi
