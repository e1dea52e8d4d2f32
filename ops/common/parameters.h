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

// What a gradient is multiplied with where that is decided on the device: undefined, or f64 [1] beside the
// parameter.
void check_factor(std::string_view op, size_t index, const Tensor& param, const Tensor& factor);
// On the CPU: the factor's value, 1 for an undefined one.
double factor_value(const Tensor& factor);

}  // namespace demi
