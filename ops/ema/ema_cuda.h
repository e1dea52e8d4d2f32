#pragma once
// The launch behind ema: data[0] the average, [1] the source; f64 beside f64.
#include "ops/common/tensor_list_cuda.h"

namespace demi::gpu_kernels {

void ema_update(const TensorList& list, double momentum, gpu::Stream stream);

}  // namespace demi::gpu_kernels
