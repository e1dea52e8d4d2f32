#pragma once
#include "ops/common/activation.h"
#include "runtime/kernel_table.h"

namespace demi {

DEMI_KERNEL_TABLES_CPU_ONLY(ActivationKernels, silu)

}  // namespace demi
