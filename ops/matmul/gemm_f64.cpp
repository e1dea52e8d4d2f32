#include "ops/matmul/gemm_f64.h"

#include <algorithm>

#include "runtime/parallel.h"

namespace demi {

void gemm_f64(int64_t m, int64_t n, int64_t k, StridedF64 a, StridedF64 b, double* c, int64_t ldc) {
    const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, n * k));
    parallel_ranges(m, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            double* row = c + i * ldc;
            std::fill(row, row + n, 0.0);
            for (int64_t p = 0; p < k; ++p) {
                const double x = a.data[i * a.row + p * a.col];
                const double* y = b.data + p * b.row;
                for (int64_t j = 0; j < n; ++j) row[j] += x * y[j * b.col];
            }
        }
    });
}

}  // namespace demi
