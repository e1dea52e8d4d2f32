#include "ops/maximum/maximum.h"

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
#include "runtime/profile.h"

namespace demi {

Variable maximum(const Variable& a, const Variable& b) {
    const ProfileScope scope("maximum");
    const DType dtype = result_dtype("maximum", a, b);
    Tensor y = elementwise("maximum", ElementFn::maximum, {a.value(), b.value()}, dtype);
    return record("maximum", {a, b}, y,
                  [saved_a = Saved(a), saved_b = Saved(b)](const Tensor& dy, const Needs& needs) -> Tensors {
                      const Tensor &va = saved_a, &vb = saved_b;
                      Tensors grads(2);
                      if (needs[0])
                          grads[0] = elementwise_to("maximum", ElementFn::greater_grad, {dy, va, vb},
                                                    va.shape(), va.dtype());
                      if (needs[1])
                          grads[1] = elementwise_to("maximum", ElementFn::greater_grad, {dy, vb, va},
                                                    vb.shape(), vb.dtype());
                      return grads;
                  });
}

}  // namespace demi
