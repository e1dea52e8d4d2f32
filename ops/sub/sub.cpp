#include "ops/sub/sub.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable sub(const Variable& a, const Variable& b) {
    const ProfileScope scope("sub");
    const DType dtype = result_dtype("sub", a, b);
    Tensor y = elementwise("sub", ElementFn::sub, {a.value(), b.value()}, dtype);
    return record("sub", {a, b}, y,
                  [sa = a.shape(), sb = b.shape(), ta = a.dtype(),
                   tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
                      return {needs[0] ? sum_to(dy, sa, ta) : Tensor(),
                              needs[1] ? elementwise_to("sub", ElementFn::neg, {dy}, sb, tb) : Tensor()};
                  });
}

Variable sub(const Variable& a, double b) {
    const ProfileScope scope("sub");
    Tensor y = elementwise("sub", ElementFn::add_scalar, {float_value("sub", a)}, a.dtype(), -b);
    return record("sub", {a}, y, [](const Tensor& dy, const Needs&) -> Tensors { return {dy}; });
}

Variable sub(double a, const Variable& b) {
    const ProfileScope scope("sub");
    Tensor y = elementwise("sub", ElementFn::rsub, {float_value("sub", b)}, b.dtype(), a);
    return record("sub", {b}, y, [](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("sub", ElementFn::neg, {dy}, dy.dtype())};
    });
}

}  // namespace demi
