#pragma once
#include "ops/common/activation.h"
#include "runtime/kernel_table.h"

namespace demi {

DEMI_KERNEL_TABLES(ActivationKernels, relu)

}  // namespace demi
