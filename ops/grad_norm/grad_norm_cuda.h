#pragma once
// The launches behind grad_norm; data[0] of the list, any float types.
#include "ops/common/tensor_list_cuda.h"

namespace demi::gpu_kernels {

// partial: one value for each chunk, in any case f64. result[0] = the sum of the squares, added in a fixed
// order.
void sum_squares(const TensorList& list, double* partial, double* result, gpu::Stream stream);
// The same; then result[0] = norm = sqrt(sum) * multiplier and result[1] = multiplier * min(1, limit / (norm
// + 1e-6)), without the second factor where limit is 0; NaN where the norm is not finite.
struct NormLimit {
    double multiplier, limit;
};
void norm_and_factor(const TensorList& list, double* partial, NormLimit limit, double* result,
                     gpu::Stream stream);
void scale_tensors(const TensorList& list, double factor, gpu::Stream stream);
// *bad becomes 1 where anything is infinite or NaN; it was 0.
void find_not_finite(const TensorList& list, uint32_t* bad, gpu::Stream stream);

}  // namespace demi::gpu_kernels
