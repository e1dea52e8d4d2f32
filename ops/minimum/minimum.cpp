#include "ops/minimum/minimum.h"

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
#include "runtime/profile.h"

namespace demi {

Variable minimum(const Variable& a, const Variable& b) {
    const ProfileScope scope("minimum");
    const DType dtype = result_dtype("minimum", a, b);
    Tensor y = elementwise("minimum", ElementFn::minimum, {a.value(), b.value()}, dtype);
    return record("minimum", {a, b}, y,
                  [saved_a = Saved(a), saved_b = Saved(b)](const Tensor& dy, const Needs& needs) -> Tensors {
                      const Tensor &va = saved_a, &vb = saved_b;
                      Tensors grads(2);
                      if (needs[0])
                          grads[0] = elementwise_to("minimum", ElementFn::greater_grad, {dy, vb, va},
                                                    va.shape(), va.dtype());
                      if (needs[1])
                          grads[1] = elementwise_to("minimum", ElementFn::greater_grad, {dy, va, vb},
                                                    vb.shape(), vb.dtype());
                      return grads;
                  });
}

}  // namespace demi
