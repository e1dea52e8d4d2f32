#include "ops/add/add.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable add(const Variable& a, const Variable& b) {
    const ProfileScope scope("add");
    const DType dtype = result_dtype("add", a, b);
    Tensor y = elementwise("add", ElementFn::add, {a.value(), b.value()}, dtype);
    return record(
        "add", {a, b}, y,
        [sa = a.shape(), sb = b.shape(), ta = a.dtype(), tb = b.dtype()](const Tensor& dy,
                                                                         const Needs& needs) -> Tensors {
            return {needs[0] ? sum_to(dy, sa, ta) : Tensor(), needs[1] ? sum_to(dy, sb, tb) : Tensor()};
        });
}

Variable add(const Variable& a, double b) {
    const ProfileScope scope("add");
    Tensor y = elementwise("add", ElementFn::add_scalar, {float_value("add", a)}, a.dtype(), b);
    return record("add", {a}, y, [](const Tensor& dy, const Needs&) -> Tensors { return {dy}; });
}

}  // namespace demi
