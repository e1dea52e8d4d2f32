#include "ops/where/where.h"

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
#include "runtime/profile.h"

namespace demi {

Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
    const ProfileScope scope("where");
    const DType dtype = result_dtype("where", a, b);
    Tensor y = elementwise("where", ElementFn::where, {condition, a.value(), b.value()}, dtype);
    return record("where", {a, b}, y,
                  [c = Saved(condition), sa = a.shape(), sb = b.shape(), ta = a.dtype(),
                   tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
                      Tensors grads(2);
                      if (needs[0])
                          grads[0] = elementwise_to("where", ElementFn::keep_where, {dy, c}, sa, ta);
                      if (needs[1])
                          grads[1] = elementwise_to("where", ElementFn::drop_where, {dy, c}, sb, tb);
                      return grads;
                  });
}

Variable masked_fill(const Variable& x, const Tensor& mask, double value) {
    const ProfileScope scope("masked_fill");
    const Tensor& in = float_value("masked_fill", x);
    check(mask.defined() && broadcast(mask.shape(), x.shape(), "masked_fill") == x.shape(), "masked_fill",
          "the mask must broadcast to ", x.shape(), ": got ", mask);
    Tensor y = elementwise("masked_fill", ElementFn::fill_where, {in, mask}, x.dtype(), value);
    return record("masked_fill", {x}, y, [m = Saved(mask)](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("masked_fill", ElementFn::drop_where, {dy, m}, dy.dtype())};
    });
}

}  // namespace demi
