#pragma once
// Checks that the optimizers share; `index` is the tensor's place in the list.
#include "ops/common/operand.h"

namespace demi {

// A contiguous float parameter.
void check_parameter(std::string_view op, size_t index, const Tensor& param);
// A gradient (or another tensor) of the parameter's shape and device: f64 beside f64, else f16, bf16 or f32.
void check_beside(std::string_view op, size_t index, std::string_view name, const Tensor& param,
                  const Tensor& other);
// Optimizer state: the parameter's shape and device, contiguous, f32 (f64 beside f64).
void check_state(std::string_view op, size_t index, std::string_view name, const Tensor& param,
                 const Tensor& state);

}  // namespace demi
