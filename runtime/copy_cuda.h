#pragma once
// Internal: launches of the memory operations.
#include "runtime/cuda/strided.h"

namespace demi::gpu_kernels {

void copy(DType to, void* dst, DType from, const void* src, const gpu::Strided<2>& walk, gpu::Stream stream);
void fill(DType type, void* dst, double value, const gpu::Strided<1>& walk, gpu::Stream stream);
void accumulate(DType to, void* dst, DType from, const void* src, const gpu::Strided<2>& walk,
                gpu::Stream stream);
// *flag becomes 1 where an element is infinite or NaN; it must be 0 before.
void find_not_finite(DType type, const void* src, const gpu::Strided<1>& walk, uint32_t* flag,
                     gpu::Stream stream);

}  // namespace demi::gpu_kernels
