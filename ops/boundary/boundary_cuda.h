#pragma once
// Internal: the fp16 boundary on the GPU, as kernels and the code that calls them share it. Plain structs
// only.
#include "ops/boundary/boundary_kernel.h"
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

// CastCounters as kernels add to them; `highest` holds the bits of the largest magnitude. Zero to begin with.
struct CastSums {
    uint64_t elements, to_inf, nan, to_zero, subnormal;
    uint32_t highest, unused;
};

// A tensor of any strides, neighbouring dimensions merged where they can be.
struct Strided {
    int rank;
    int64_t sizes[gpu::kMaxRank], strides[gpu::kMaxRank];
};

// dst (contiguous) = cast(src); sums may be null where nothing is counted.
void launch_cast(const void* src, Storage from, const Strided& shape, int64_t count, const Cast& cast,
                 void* dst, Storage to, CastSums* sums, gpu::Stream stream);

// highest[block] = the largest finite |x| that the block saw, for amax_blocks(count) blocks.
int64_t amax_blocks(int64_t count);
void launch_amax(const void* src, DType type, const Strided& shape, int64_t count, double* highest,
                 gpu::Stream stream);

// Whether rows of `step` elements, read or written eight elements at a time, are aligned to 16 bytes
// throughout.
inline bool rows_aligned(const void* first, int64_t step, int64_t element_size) {
    return reinterpret_cast<uintptr_t>(first) % 16 == 0 && step * element_size % 16 == 0;
}

}  // namespace demi::gpu_kernels
