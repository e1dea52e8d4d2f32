#pragma once
#include "ops/softmax/row_kernels.h"
#include "runtime/kernel_table.h"

namespace demi {

DEMI_KERNEL_TABLES_CPU_ONLY(SoftmaxKernels, softmax)

}  // namespace demi
