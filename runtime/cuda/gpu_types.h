#pragma once
// Internal: plain types that kernels (C++17, nvcc) and the code that calls them
// (C++20) share. No CUDA header.
#include <cstddef>
#include <cstdint>

#include "runtime/element.h"

namespace demi::gpu {

typedef void* Stream;  // a cudaStream_t; see runtime/cuda/stream.h

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

// What one 16-byte access moves.
struct alignas(16) Bytes16 {
    uint32_t w[4];
};
struct alignas(8) Bytes8 {  // one 8-byte access
    uint32_t w[2];
};

}  // namespace demi::gpu
