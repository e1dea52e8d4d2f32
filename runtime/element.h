#pragma once
// What every kernel sees, on the CPU and on a GPU: element types and plain typed memory. C++17 without the standard
// library's inline code, so that nvcc and the files that are compiled once per instruction set can include it.
#include <stddef.h>
#include <stdint.h>

#include "runtime/half.h"

#define DEMI_INLINE inline __attribute__((always_inline))
#if defined(__CUDACC__)
#define DEMI_DEVICE __device__ __forceinline__
#define DEMI_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define DEMI_DEVICE inline
#define DEMI_HOST_DEVICE DEMI_INLINE
#endif

namespace demi {

enum class DType : uint8_t { f16, bf16, f32, f64, i32, i64, u8, boolean };

DEMI_INLINE constexpr size_t size_of(DType dtype) {
    return dtype == DType::f16 || dtype == DType::bf16     ? 2
           : dtype == DType::f32 || dtype == DType::i32    ? 4
           : dtype == DType::f64 || dtype == DType::i64    ? 8
           : dtype == DType::u8 || dtype == DType::boolean ? 1
                                                           : 0;
}
DEMI_INLINE constexpr bool is_float(DType dtype) { return dtype <= DType::f64; }
DEMI_INLINE constexpr bool is_half(DType dtype) { return dtype <= DType::bf16; }
DEMI_INLINE constexpr bool is_int(DType dtype) {
    return dtype == DType::i32 || dtype == DType::i64 || dtype == DType::u8;
}

// Memory that a kernel reads or writes: the first element and its type. data is null for an operand that is absent.
struct ConstMem {
    const void* data = nullptr;
    DType dtype = DType::f32;
};
struct Mem {
    void* data = nullptr;
    DType dtype = DType::f32;
};

}  // namespace demi
