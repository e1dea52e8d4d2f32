#pragma once
#include "ops/softmax/row_kernels.h"
#include "runtime/kernel_table.h"

namespace demi {

DEMI_KERNEL_TABLES(SoftmaxKernels, softmax)

}  // namespace demi
