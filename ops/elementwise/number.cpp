#include "ops/elementwise/number.h"

namespace demi {

DType Number::dtype_beside(DType tensor) const {
    if (is_float(tensor)) return tensor;
    if (!is_whole_) return DType::f32;
    return tensor == DType::boolean ? DType::i64 : tensor;
}

Tensor Number::tensor(std::string_view op, DType dtype, Device device) const {
    check(is_whole_ || is_float(dtype), op, "needs a whole number beside ", dtype, ": got ", *this);
    constexpr int64_t kExact = int64_t{1} << 53;  // what a double holds
    const bool exact = !is_whole_ || (-kExact <= whole_ && whole_ <= kExact);
    if (is_float(dtype) && exact) return Tensor::full({}, real_, dtype, device);
    const Tensor there = Tensor::from(std::vector<int64_t>{whole_}, {}), held = there.to(dtype);
    check(is_float(dtype) || held.to(DType::i64).data<int64_t>()[0] == whole_, op, "the number ", whole_,
          " does not fit ", dtype);
    return exact ? Tensor::full({}, real_, dtype, device) : held.to(device);
}

Variable number_beside(std::string_view op, const Number& number, const Variable& x) {
    check(x.defined(), op, "needs a defined tensor beside the number ", number, ": got ", x.value());
    return number.tensor(op, number.dtype_beside(x.dtype()), x.device());
}

std::ostream& operator<<(std::ostream& out, const Number& number) {
    return number.is_whole_ ? out << number.whole_ : out << number.real_;
}

}  // namespace demi
