#include "ops/softmax/softmax.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/softmax/softmax_kernels.h"
#include "runtime/profile.h"

namespace demi {

// The kernels work on the last dimension; another one is moved there and back.
Variable softmax(const Variable& input, int dim) {
    const ProfileScope scope("softmax");
    check_float_operand("softmax", "x", input.value());
    check(input.rank() >= 1, "softmax", "x must have at least one dimension: got ", input.value());
    const int at = normalize_dim(dim, input.rank(), "softmax");
    const Tensor x = input.value().transpose(at, -1).contiguous();
    Tensor y = Tensor::like(x);
    if (x.numel() > 0) DEMI_SELECT(softmax, x.device(), forward)(x, y);
    return record("softmax", {input}, y.transpose(at, -1),
                  [y = Saved(y), at](const Tensor& grad, const Needs&) -> Tensors {
                      const Tensor dy = grad.transpose(at, -1).contiguous();
                      Tensor dx = Tensor::like(dy);
                      if (dx.numel() > 0) DEMI_SELECT(softmax, dx.device(), backward)(y, dy, dx);
                      return {dx.transpose(at, -1)};
                  });
}

}  // namespace demi
