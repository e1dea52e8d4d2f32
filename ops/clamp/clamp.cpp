#include "ops/clamp/clamp.h"

#include <cmath>

#include "ops/common/elementwise.h"

namespace demi {

Variable clamp(const Variable& x, const Number& low, const Number& high) {
    check(low.real() <= high.real(), "clamp", "low must not exceed high: got ", low, " and ", high);
    check(x.defined(), "clamp", "x must be a defined tensor");
    if (is_float(x.dtype()))
        return unary("clamp", ElementFn::clamp, ElementFn::clamp_grad, x, false, low.real(), high.real());
    Tensor y = x.value();
    const auto bound = [&](ElementFn fn, const Number& number) {
        if (std::isinf(number.real())) return;
        y = elementwise("clamp", fn, {y, number.tensor("clamp", x.dtype(), x.device())}, x.dtype());
    };
    bound(ElementFn::maximum, low);
    bound(ElementFn::minimum, high);
    return y;
}

}  // namespace demi
