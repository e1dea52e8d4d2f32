#pragma once
// Contract: checked tensors with a gradient and at least one element, contiguous, all on one device; the
// momentum buffer is undefined where options.momentum is 0.
#include "ops/sgd/sgd.h"
#include "runtime/kernel_table.h"

namespace demi {

struct SgdKernels {
    void (*step)(std::span<SgdTensor> tensors, const SgdOptions& options) = nullptr;
};
DEMI_KERNEL_TABLES(SgdKernels, sgd)

}  // namespace demi
