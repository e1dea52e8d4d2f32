#include "ops/log_softmax/log_softmax.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/log_softmax/log_softmax_kernels.h"
#include "runtime/profile.h"

namespace demi {

// The kernels work on the last dimension; another one is moved there and back.
Variable log_softmax(const Variable& input, int dim) {
    const ProfileScope scope("log_softmax");
    check_float_operand("log_softmax", "x", input.value());
    check(input.rank() >= 1, "log_softmax", "x must have at least one dimension: got ", input.value());
    const int at = normalize_dim(dim, input.rank(), "log_softmax");
    const Tensor x = input.value().transpose(at, -1).contiguous();
    Tensor y = Tensor::like(x);
    if (x.numel() > 0) DEMI_SELECT(log_softmax, x.device(), forward)(x, y);
    return record("log_softmax", {input}, y.transpose(at, -1),
                  [y = Saved(y), at](const Tensor& grad, const Needs&) -> Tensors {
                      const Tensor dy = grad.transpose(at, -1).contiguous();
                      Tensor dx = Tensor::like(dy);
                      if (dx.numel() > 0) DEMI_SELECT(log_softmax, dx.device(), backward)(y, dy, dx);
                      return {dx.transpose(at, -1)};
                  });
}

}  // namespace demi
