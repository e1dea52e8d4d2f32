#pragma once
// Contract: defined float tensors with at least one element, contiguous, all on one device.
#include <span>
#include <vector>

#include "runtime/capture.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct GradNormKernels {
    double (*norm)(std::span<const Tensor> tensors) = nullptr;
    void (*scale)(std::span<Tensor> tensors, double factor) = nullptr;
    // As grad_factors(); a group may be empty, result is contiguous.
    void (*factors)(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier,
                    double max_norm, Tensor& result) = nullptr;
    bool (*finite)(std::span<const Tensor> tensors) = nullptr;
};
DEMI_KERNEL_TABLES(GradNormKernels, grad_norm)

}  // namespace demi
