#pragma once
// Contract: contiguous, one dtype, at least one element; image [B, C, H, W], patches [B, (H / p) (W / p), C p
// p].
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct PatchifyKernels {
    void (*forward)(const Tensor& image, int64_t patch, Tensor& patches) = nullptr;
    void (*backward)(const Tensor& patches, int64_t patch, Tensor& image) = nullptr;
};
DEMI_KERNEL_TABLES(PatchifyKernels, patchify)

}  // namespace demi
