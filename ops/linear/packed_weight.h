#pragma once
// Internal: weights that an InferenceMode holds in the order of the CPU's products.
#include "runtime/tensor.h"

namespace demi {

// The weight [n, k] of a layer that computes in f32, f16 or bf16, packed for x weight^T (see gemm_pack_b()), valid until the
// thread asks again; null outside of an InferenceMode.
const float* packed_weight(const Tensor& weight, DType compute);

}  // namespace demi
