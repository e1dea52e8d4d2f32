#pragma once
// The launch behind dropout and drop_path. Group g holds the elements [g * width, (g + 1) * width): word g of
// the draw keeps or drops it. dropout has groups of one element, drop_path one for each sample.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct DropCall {
    const void* x;
    void* y;
    int64_t count, width;
    uint64_t seed, offset;
    uint32_t threshold;  // kept where (word >> 8) >= threshold
    double scale;
    const uint64_t* live;  // null, or where the offset is to be read
};
void drop(DType type, const DropCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
