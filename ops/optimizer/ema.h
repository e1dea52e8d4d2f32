#pragma once
// Exponential moving average of many tensors at once: dst = momentum * dst + (1 - momentum) * src, in place.
// dst[i] and src[i] have one shape and device, any float dtypes (f64 beside f64 only); dst is contiguous.
// Averages belong in f32: with momentum near 1 a 16-bit dst does not move.
#include "runtime/tensor.h"

namespace demi {

void ema(std::span<const Tensor> dst, std::span<const Tensor> src, double momentum);

}  // namespace demi
