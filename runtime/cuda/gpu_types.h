#pragma once
// Internal: plain types that kernels (C++17, nvcc) and the code that calls them
// (C++20) share. No CUDA header.
#include <cstddef>
#include <cstdint>

#include "runtime/element.h"

#if defined(__CUDACC__)
#define DEMI_DEVICE __device__ __forceinline__
#define DEMI_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define DEMI_DEVICE inline
#define DEMI_HOST_DEVICE DEMI_INLINE
#endif

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

constexpr int kMaxRank = 8;  // as many dimensions as a Shape has

}  // namespace demi::gpu
