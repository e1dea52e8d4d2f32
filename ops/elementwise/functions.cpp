#include "ops/elementwise/functions.h"

#include <cmath>

#include "ops/elementwise/cast.h"
#include "ops/elementwise/elementwise.h"

namespace demi {

#define FUNCTION(name, saves, ...) \
    Variable name(const Variable& x) { \
        return unary(#name, ElementFn::name, ElementFn::name##_grad, x, Saves::saves); \
    }
#define HELPER(...)
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER

Variable pow(const Variable& x, double p) {
    if (p == 2) return unary("pow", ElementFn::square, ElementFn::square_grad, x, Saves::x);
    if (p == 0.5) return unary("pow", ElementFn::sqrt, ElementFn::sqrt_grad, x, Saves::y);
    // x^0 is 1 everywhere; p x^(p - 1) would be 0 * infinity at 0
    if (p == 0) return unary("pow", ElementFn::pow, ElementFn::clear, x, Saves::x, p);
    return unary("pow", ElementFn::pow, ElementFn::pow_grad, x, Saves::x, p);
}

Variable clamp(const Variable& x, const Number& low, const Number& high) {
    check(low.real() <= high.real(), "clamp", "low must not exceed high: got ", low, " and ", high);
    check(x.defined(), "clamp", "x must be a defined tensor");
    if (is_float(x.dtype()))
        return unary("clamp", ElementFn::clamp, ElementFn::clamp_grad, x, Saves::x, low.real(), high.real());
    Tensor y = x.value();
    const auto bound = [&](ElementFn fn, const Number& number) {
        if (std::isinf(number.real())) return;
        y = elementwise("clamp", fn, {y, number.tensor("clamp", x.dtype(), x.device())}, x.dtype());
    };
    bound(ElementFn::maximum, low);
    bound(ElementFn::minimum, high);
    return y;
}

Variable cast(const Variable& x, DType dtype) {
    const Op op("cast");
    check(x.defined(), "cast", "x must be a defined tensor");
    if (x.dtype() == dtype) return x;
    if (!is_float(dtype)) return x.value().to(dtype);
    return op.record(x, x.value().to(dtype), [from = x.dtype()](const Tensor& dy) { return dy.to(from); });
}

Variable to_device(const Variable& x, Device device) {
    const Op op("to_device");
    check(x.defined(), "to_device", "x must be a defined tensor");
    if (x.device() == device) return x;
    return op.record(x, x.value().to(device), [from = x.device()](const Tensor& dy) { return dy.to(from); });
}

Variable detach(const Variable& x) {
    check(x.defined(), "detach", "x must be a defined tensor");
    return x.detach();
}

}  // namespace demi
