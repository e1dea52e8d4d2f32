#pragma once
// Internal: rows of f64 on the CPU, as in layernorm_isa.h.
#include <cstdint>

namespace demi {

void layernorm_forward_f64(const double* x, const double* residual, const double* weight, const double* bias,
                           double* sum, double* y, double* stats, int64_t rows, int64_t width, double eps);
void layernorm_backward_f64(const double* x, const double* dy, const double* dsum, const double* weight,
                            const double* stats, double* dx, double* dweight, double* dbias, int64_t rows,
                            int64_t width);

}  // namespace demi
