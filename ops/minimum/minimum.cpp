#include "ops/minimum/minimum.h"

#include "ops/common/elementwise.h"
#include "ops/reduce/sums.h"
#include "runtime/profile.h"

namespace demi {

Variable minimum(const Variable& a, const Variable& b) {
    const ProfileScope scope("minimum");
    check(a.defined() && b.defined(), "minimum", "needs defined tensors: got ", a.value(), " and ",
          b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    const Tensor x = promoted(a.value(), dtype), z = promoted(b.value(), dtype);
    Tensor y = elementwise("minimum", ElementFn::minimum, {x, z}, dtype);
    return record("minimum", {a, b}, y,
                  [saved_a = Saved(x), saved_b = Saved(z)](const Tensor& dy, const Needs& needs) -> Tensors {
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

Variable minimum(const Variable& a, const Number& b) { return minimum(a, number_beside("minimum", b, a)); }
Variable minimum(const Number& a, const Variable& b) { return minimum(number_beside("minimum", a, b), b); }

}  // namespace demi
