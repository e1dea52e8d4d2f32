#pragma once
// Internal: launches of sums and maxima. The order of additions depends on the sizes only.
#include "runtime/cuda/strided.h"

namespace demi::gpu_kernels {

// Element (k, r) lies at kept(k) + reduced(r) of x and y.
struct SumCall {
    DType x_type, y_type, out_type;
    const void* x;
    const void* y;  // null: x alone
    void* out;      // [kept.count], contiguous
    double scale;
    gpu::Strided<2> kept, reduced;
    bool inner_reduced;  // neighbours in memory belong to one sum
};

// How many partial sums a call needs: doubles (i64 where out is i64) in device memory, 0 where one pass does.
int64_t sum_partials(const SumCall& call);
void sum(const SumCall& call, void* partials, gpu::Stream stream);

// x [n, m] contiguous.
void max_rows(DType type, const void* x, int64_t n, int64_t m, bool smallest, void* values, int64_t* indices,
              gpu::Stream stream);

}  // namespace demi::gpu_kernels
