#include "ops/elementwise/arithmetic.h"

#include "ops/elementwise/elementwise.h"
#include "ops/reduce/sums.h"

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

namespace {

// An op of a tensor and a number: y = fn(x, p), dx = dy for a sum, else grad_fn(dy, p).
Variable with_number(const char* name, ElementFn fn, const Variable& x, double p, ElementFn grad_fn) {
    const Op op(name);
    Tensor y = elementwise(name, fn, {float_value(name, x)}, x.dtype(), p);
    return op.record(x, y, [=](const Tensor& dy) {
        return grad_fn == ElementFn::add_scalar ? dy : elementwise(name, grad_fn, {dy}, dy.dtype(), p);
    });
}

// y = fn(a, b); grad: see record_two().
template <class Grad>
Variable with_tensor(const char* name, ElementFn fn, const Variable& a, const Variable& b, Grad grad) {
    const Op op(name);
    const DType dtype = result_dtype(name, a, b);
    return record_two(op, a, b, elementwise(name, fn, {a.value(), b.value()}, dtype), grad);
}

// maximum, or with `smaller` minimum.
Variable extreme(const char* name, ElementFn fn, const Variable& a, const Variable& b, bool smaller) {
    const Op op(name);
    op.check(a.defined() && b.defined(), "needs defined tensors: got ", a.value(), " and ", b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    const Tensor x = promoted(a.value(), dtype), z = promoted(b.value(), dtype);
    return record_two(
        op, a, b, elementwise(name, fn, {x, z}, dtype),
        [=, first = Saved(x), second = Saved(z)](int i, const Tensor& dy, const Shape& shape, DType type) {
            const bool in_order = (i == 0) != smaller;
            const Tensor &high = in_order ? first : second, &low = in_order ? second : first;
            return elementwise_to(name, ElementFn::greater_grad, {dy, high, low}, shape, type);
        });
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
    return with_tensor(
        "add", ElementFn::add, a, b,
        [](int, const Tensor& dy, const Shape& shape, DType dtype) { return sum_to(dy, shape, dtype); });
}
Variable add(const Variable& a, double b) {
    return with_number("add", ElementFn::add_scalar, a, b, ElementFn::add_scalar);
}

Variable sub(const Variable& a, const Variable& b) {
    return with_tensor("sub", ElementFn::sub, a, b,
                       [](int i, const Tensor& dy, const Shape& shape, DType dtype) {
                           return i == 0 ? sum_to(dy, shape, dtype)
                                         : elementwise_to("sub", ElementFn::neg, {dy}, shape, dtype);
                       });
}
Variable sub(const Variable& a, double b) {
    return with_number("sub", ElementFn::add_scalar, a, -b, ElementFn::add_scalar);
}
Variable sub(double a, const Variable& b) {
    return with_number("sub", ElementFn::rsub, b, a, ElementFn::neg);
}

Variable mul(const Variable& a, const Variable& b) {
    // each gradient needs the other operand
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved(),
                saved_b = a.requires_grad() ? Saved(b) : Saved();
    return with_tensor("mul", ElementFn::mul, a, b,
                       [=](int i, const Tensor& dy, const Shape& shape, DType dtype) {
                           return sum_product_to(dy, i == 0 ? saved_b : saved_a, shape, dtype);
                       });
}
Variable mul(const Variable& a, double b) {
    return with_number("mul", ElementFn::mul_scalar, a, b, ElementFn::mul_scalar);
}

Variable div(const Variable& a, const Variable& b) {
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved(), saved_b = Saved(b);
    return with_tensor(
        "div", ElementFn::div, a, b, [=](int i, const Tensor& dy, const Shape& shape, DType dtype) {
            return i == 0 ? elementwise_to("div", ElementFn::div, {dy, saved_b}, shape, dtype)
                          : elementwise_to("div", ElementFn::div_grad, {dy, saved_a, saved_b}, shape, dtype);
        });
}
Variable div(const Variable& a, double b) {
    return with_number("div", ElementFn::div_scalar, a, b, ElementFn::div_scalar);
}
Variable div(double a, const Variable& b) {
    const Op op("div");
    Tensor y = elementwise("div", ElementFn::rdiv, {float_value("div", b)}, b.dtype(), a);
    return op.record(b, y, [a, saved = Saved(b)](const Tensor& dy) {
        return elementwise("div", ElementFn::rdiv_grad, {dy, saved}, dy.dtype(), a);
    });
}

Variable maximum(const Variable& a, const Variable& b) {
    return extreme("maximum", ElementFn::maximum, a, b, false);
}
Variable maximum(const Variable& a, const Number& b) { return maximum(a, number_beside("maximum", b, a)); }
Variable maximum(const Number& a, const Variable& b) { return maximum(number_beside("maximum", a, b), b); }
Variable minimum(const Variable& a, const Variable& b) {
    return extreme("minimum", ElementFn::minimum, a, b, true);
}
Variable minimum(const Variable& a, const Number& b) { return minimum(a, number_beside("minimum", b, a)); }
Variable minimum(const Number& a, const Variable& b) { return minimum(number_beside("minimum", a, b), b); }

}  // namespace demi
