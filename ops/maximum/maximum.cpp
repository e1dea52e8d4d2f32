#include "ops/maximum/maximum.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable maximum(const Variable& a, const Variable& b) {
    const ProfileScope scope("maximum");
    check(a.defined() && b.defined(), "maximum", "needs defined tensors: got ", a.value(), " and ",
          b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    const Tensor x = promoted(a.value(), dtype), z = promoted(b.value(), dtype);
    Tensor y = elementwise("maximum", ElementFn::maximum, {x, z}, dtype);
    return record("maximum", {a, b}, y,
                  [saved_a = Saved(x), saved_b = Saved(z)](const Tensor& dy, const Needs& needs) -> Tensors {
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

Variable maximum(const Variable& a, const Number& b) { return maximum(a, number_beside("maximum", b, a)); }
Variable maximum(const Number& a, const Variable& b) { return maximum(number_beside("maximum", a, b), b); }

}  // namespace demi
