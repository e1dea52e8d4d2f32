#pragma once
// Internal: plain types that kernels (C++17, nvcc) and the code that calls them (C++20) share. No CUDA
// header.
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define DEMI_DEVICE __device__ __forceinline__
#define DEMI_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define DEMI_DEVICE inline
#define DEMI_HOST_DEVICE inline
#endif

namespace demi::gpu {

typedef void* Stream;  // a cudaStream_t; see runtime/cuda/stream.h

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

// Element types as a number, for launch functions that choose a template instance.
enum class Type : uint8_t { f16, bf16, f32, f64, i32, i64, u8, b1 };
DEMI_HOST_DEVICE int size_of(Type t) {
    return t == Type::f64 || t == Type::i64   ? 8
           : t == Type::f32 || t == Type::i32 ? 4
           : t == Type::u8 || t == Type::b1   ? 1
                                              : 2;
}
DEMI_HOST_DEVICE bool is_float(Type t) { return t <= Type::f64; }

// Storage of the 16-bit floats. Arithmetic happens in float: load() and store() in gpu.h.
struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
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
