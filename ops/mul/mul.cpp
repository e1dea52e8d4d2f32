#include "ops/mul/mul.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable mul(const Variable& a, const Variable& b) {
    const ProfileScope scope("mul");
    const DType dtype = result_dtype("mul", a, b);
    Tensor y = elementwise("mul", ElementFn::mul, {a.value(), b.value()}, dtype);
    // each gradient needs the other operand
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved();
    const Saved saved_b = a.requires_grad() ? Saved(b) : Saved();
    return record("mul", {a, b}, y,
                  [=, sa = a.shape(), sb = b.shape(), ta = a.dtype(),
                   tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
                      return {needs[0] ? sum_product_to(dy, saved_b, sa, ta) : Tensor(),
                              needs[1] ? sum_product_to(dy, saved_a, sb, tb) : Tensor()};
                  });
}

Variable mul(const Variable& a, double b) {
    const ProfileScope scope("mul");
    Tensor y = elementwise("mul", ElementFn::mul_scalar, {float_value("mul", a)}, a.dtype(), b);
    return record("mul", {a}, y, [b](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("mul", ElementFn::mul_scalar, {dy}, dy.dtype(), b)};
    });
}

}  // namespace demi
