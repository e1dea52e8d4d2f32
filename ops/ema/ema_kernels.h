#pragma once
// Contract: as many dst as src, contiguous, at least one element each, all on one device.
#include "ops/ema/ema.h"
#include "runtime/kernel_table.h"

namespace demi {

struct EmaKernels {
    void (*update)(std::span<Tensor> dst, std::span<const Tensor> src, double momentum) = nullptr;
};
DEMI_KERNEL_TABLES(EmaKernels, ema)

}  // namespace demi
