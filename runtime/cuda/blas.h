#pragma once
// Internal: matrix products on the GPU, by cublasLt (blas.cpp), in plain numbers. c = a b with a [m, k], b
// [k, n], c [m, n]; sums in f32 (f64 for f64), never in TF32, one rounding. The same call gives the same bits
// every time on one kind of GPU: partial sums are added in the accumulator's type and in a fixed order.
#include "runtime/backends.h"
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu {

struct BlasMatrix {
    const void* data = nullptr;
    int64_t ld = 0;  // elements from one row to the next, or from one column to the next where transposed
    bool transposed = false;   // its columns are contiguous rather than its rows
    int64_t batch_stride = 0;  // 0: the same matrix for the whole batch
};

enum class BlasEpilogue : uint8_t {
    none,
    bias,      // c += bias [n], before the rounding
    row_sums,  // row_sums [m] = sums of a over k, beside the product
};

struct BlasCall {
    DType type = DType::f32;                 // of a and b: f16, bf16, f32, f64
    DType out_type = DType::f32;             // of c, bias and row_sums: the same, or f32 beside Half and bf16
    int64_t m = 0, n = 0, k = 0, batch = 1;  // all at least 1
    BlasMatrix a, b;
    void* c = nullptr;
    int64_t ldc = 0, c_batch_stride = 0;
    BlasEpilogue epilogue = BlasEpilogue::none;
    const void* bias = nullptr;
    void* row_sums = nullptr;
};

// False, with nothing done, where the library has no kernel for this epilogue; throws Error where it has none without.
bool blas_multiply(const BlasCall& call, Queue queue);

}  // namespace demi::gpu
