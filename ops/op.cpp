#include "ops/op.h"

namespace demi {

const Tensor& Op::floats(std::string_view operand, const Tensor& x) const {
    check(x.defined() && is_float(x.dtype()), operand, " must be a floating-point tensor: got ", x);
    return x;
}

void Op::same_device(std::string_view name_a, const Tensor& a, std::string_view name_b,
                     const Tensor& b) const {
    check(a.defined() && b.defined() && a.device() == b.device(), name_a, " and ", name_b,
          " must be on one device: got ", a, " and ", b);
}

void Op::same_dtype(std::string_view name_a, const Tensor& a, std::string_view name_b,
                    const Tensor& b) const {
    check(a.defined() && b.defined() && a.dtype() == b.dtype(), name_a, " and ", name_b,
          " must have one dtype: got ", a, " and ", b);
}

void Op::same_shape(std::string_view name_a, const Tensor& a, std::string_view name_b,
                    const Tensor& b) const {
    check(a.defined() && b.defined() && a.shape() == b.shape(), name_a, " and ", name_b,
          " must have one shape: got ", a, " and ", b);
}

void Op::vector(std::string_view operand, const Tensor& v, const Tensor& x) const {
    check(v.defined() && is_float(v.dtype()) && v.shape() == Shape{x.size(-1)}, operand,
          " must be a float vector of shape ", Shape{x.size(-1)}, ", the last size of x ", x, ": got ", v);
    same_device("x", x, operand, v);
}

}  // namespace demi
