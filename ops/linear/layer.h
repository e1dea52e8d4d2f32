#pragma once
// Internal: what linear and mlp are made of.
#include "ops/op.h"

namespace demi {

// One layer x weight^T + bias, with the names of its parameters in errors. bias may be undefined.
struct LayerOperands {
    const char *weight_name, *bias_name;
    const Variable &weight, &bias;
};

// One layer, whose result goes through gelu where told; or two with gelu between them. residual is added where it is defined.
// The op's inputs are x, the weights, the biases that are defined, and the residual.
Variable layers(const Op& op, const Variable& x, std::initializer_list<LayerOperands> operands, bool gelu,
                const Variable& residual);

// The weight [n, k] as pack_b() leaves it for x weight^T in `dtype`, valid until the thread asks again; null where no
// InferenceMode lives.
const float* packed_weight(const Tensor& weight, DType dtype);

}  // namespace demi
