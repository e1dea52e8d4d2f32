#pragma once
// Contract: checked tensors with a gradient and at least one element, contiguous, all on one device.
#include "ops/adamw/adamw.h"
#include "runtime/kernel_table.h"

namespace demi {

// The numbers of one tensor's update, computed in f64.
struct AdamwFactors {
    double decay, beta1_rest, beta2, beta2_rest, step_size, root_correction, eps, grad_scale;
};
AdamwFactors adamw_factors(const AdamwTensor& tensor, const AdamwOptions& options);

struct AdamwKernels {
    void (*step)(std::span<AdamwTensor> tensors, const AdamwOptions& options) = nullptr;
};
DEMI_KERNEL_TABLES(AdamwKernels, adamw)

}  // namespace demi
