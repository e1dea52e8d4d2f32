#include "ops/div/div.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable div(const Variable& a, const Variable& b) {
    const ProfileScope scope("div");
    const DType dtype = result_dtype("div", a, b);
    Tensor y = elementwise("div", ElementFn::div, {a.value(), b.value()}, dtype);
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved();
    return record(
        "div", {a, b}, y,
        [saved_a, saved_b = Saved(b), sa = a.shape(), sb = b.shape(), ta = a.dtype(),
         tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
            Tensors grads(2);
            if (needs[0]) grads[0] = elementwise_to("div", ElementFn::div, {dy, saved_b}, sa, ta);
            if (needs[1])
                grads[1] = elementwise_to("div", ElementFn::div_grad, {dy, saved_a, saved_b}, sb, tb);
            return grads;
        });
}

Variable div(const Variable& a, double b) {
    const ProfileScope scope("div");
    Tensor y = elementwise("div", ElementFn::div_scalar, {float_value("div", a)}, a.dtype(), b);
    return record("div", {a}, y, [b](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("div", ElementFn::div_scalar, {dy}, dy.dtype(), b)};
    });
}

Variable div(double a, const Variable& b) {
    const ProfileScope scope("div");
    Tensor y = elementwise("div", ElementFn::rdiv, {float_value("div", b)}, b.dtype(), a);
    return record("div", {b}, y, [a, saved = Saved(b)](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("div", ElementFn::rdiv_grad, {dy, saved}, dy.dtype(), a)};
    });
}

}  // namespace demi
