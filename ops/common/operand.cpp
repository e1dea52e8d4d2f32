#include "ops/common/operand.h"

namespace demi {

void check_float_operand(std::string_view op, std::string_view operand, const Tensor& tensor) {
    check(tensor.defined() && is_float(tensor.dtype()), op, operand, " must be a floating-point tensor: got ",
          tensor);
}

void check_same_device(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                       const Tensor& b) {
    check(a.defined() && b.defined() && a.device() == b.device(), op, name_a, " and ", name_b,
          " must be on one device: got ", a, " and ", b);
}

void check_same_dtype(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                      const Tensor& b) {
    check(a.defined() && b.defined() && a.dtype() == b.dtype(), op, name_a, " and ", name_b,
          " must have one dtype: got ", a, " and ", b);
}

void check_same_shape(std::string_view op, std::string_view name_a, const Tensor& a, std::string_view name_b,
                      const Tensor& b) {
    check(a.defined() && b.defined() && a.shape() == b.shape(), op, name_a, " and ", name_b,
          " must have one shape: got ", a, " and ", b);
}

void check_vector(std::string_view op, std::string_view operand, const Tensor& tensor, int64_t width,
                  const Tensor& x) {
    check(tensor.defined() && is_float(tensor.dtype()) && tensor.shape() == Shape{width}, op, operand,
          " must be a float vector of shape ", Shape{width}, ", the last size of x ", x, ": got ", tensor);
    check_same_device(op, "x", x, operand, tensor);
}

}  // namespace demi
