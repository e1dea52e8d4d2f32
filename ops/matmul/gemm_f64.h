#pragma once
// The product in double: plain loops, for gradient checks and references.
#include <cstdint>

namespace demi {

struct StridedF64 {
    const double* data = nullptr;
    int64_t row = 0, col = 0;
};

// C[m, n] = sum over k of A[m, k] * B[k, n]; C has contiguous rows, ldc elements apart. The sums run in the
// order of k.
void gemm_f64(int64_t m, int64_t n, int64_t k, StridedF64 a, StridedF64 b, double* c, int64_t ldc);

}  // namespace demi
