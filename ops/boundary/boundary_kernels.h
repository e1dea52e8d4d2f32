#pragma once
// Internal: whole tensors across the boundary, a table per device.
#include "ops/boundary/boundary_kernel.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct BoundaryKernels {
    // dst = cast(src), same shape, f32, bf16 or f16 each; src with any strides, dst contiguous.
    void (*cast)(const Tensor& src, const Cast& cast, Tensor& dst, CastCounters& counters) = nullptr;
    // The largest finite |x|, of any float dtype and strides; 0 where there is none.
    double (*amax)(const Tensor& src) = nullptr;
};
DEMI_KERNEL_TABLES(BoundaryKernels, boundary)

}  // namespace demi
