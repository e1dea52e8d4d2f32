#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous, one dtype, at least one element: image [batch, channels, height, width], patches
// [batch, (height / patch) (width / patch), channels patch patch].
struct Patchify {
    ConstMem from;
    Mem to;
    int64_t batch, channels, height, width, patch;
    bool to_patches;  // from image to patches, else back
};
struct PatchifyKernels {
    void (*move)(const Patchify& call, Queue queue);
};
DEMI_BACKENDS(PatchifyKernels, patchify)

}  // namespace demi
