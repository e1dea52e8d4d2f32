#pragma once
// Checks that most ops share. Their messages name op and operand, and say what came.
#include "ops/op.h"

namespace demi {

// Defined and of a floating-point dtype.
void check_float_operand(std::string_view op, std::string_view operand, const Tensor& tensor);
// `b` has the device (and dtype, shape) of `a`.
void check_same_device(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                       const Tensor& b);
void check_same_dtype(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                      const Tensor& b);
void check_same_shape(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                      const Tensor& b);
// A parameter of shape [width], float, on x's device.
void check_vector(std::string_view op, std::string_view operand, const Tensor& tensor, int64_t width,
                  const Tensor& x);

}  // namespace demi
