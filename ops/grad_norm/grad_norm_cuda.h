#pragma once
// The launches behind grad_norm; data[0] of the list, any float types.
#include "ops/common/tensor_list_cuda.h"

namespace demi::gpu_kernels {

// partial: one value for each chunk, in any case f64. result[0] = the square root of the sum of the squares,
// added in a fixed order.
void norm(const TensorList& list, double* partial, double* result, gpu::Stream stream);
// For groups of chunks that follow one another, group g ending before chunk ends[g]: result[g] = norm *
// multiplier and result[groups + g] = multiplier * min(1, limit / (norm + 1e-6)), without the
// second factor where limit is 0; all of these NaN where any norm is not finite.
struct NormGroups {
    static constexpr int kMost = 64;
    double multiplier, limit;
    const double* live_multiplier;  // null, or where on the device it is to be read
    int64_t groups;
    int64_t ends[kMost];
};
void norms_and_factors(const TensorList& list, double* partial, const NormGroups& groups, double* result,
                       gpu::Stream stream);
void scale_tensors(const TensorList& list, double factor, gpu::Stream stream);
// *bad becomes 1 where anything is infinite or NaN; it was 0.
void find_not_finite(const TensorList& list, uint32_t* bad, gpu::Stream stream);

}  // namespace demi::gpu_kernels
