#pragma once
// Internal: launches of the memory operations.
#include "runtime/cuda/strided.h"

namespace demi::gpu_kernels {

void copy(gpu::Type to, void* dst, gpu::Type from, const void* src, const gpu::Strided<2>& walk,
          gpu::Stream stream);
void fill(gpu::Type type, void* dst, double value, const gpu::Strided<1>& walk, gpu::Stream stream);
void accumulate(gpu::Type to, void* dst, gpu::Type from, const void* src, const gpu::Strided<2>& walk,
                gpu::Stream stream);
// *flag becomes 1 where an element is infinite or NaN; it must be 0 before.
void find_not_finite(gpu::Type type, const void* src, const gpu::Strided<1>& walk, uint32_t* flag,
                     gpu::Stream stream);

}  // namespace demi::gpu_kernels
