#pragma once
// The launch behind patchify: lines of `patch` elements between image and patches.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct PatchifyCall {
    const void* from;
    void* to;
    int64_t batch, channels, height, width, patch;
    int element;      // bytes of an element
    bool to_patches;  // else from patches to image
};
void patchify_move(const PatchifyCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
