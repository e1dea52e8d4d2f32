#include "ops/l2_normalize/l2_normalize.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/l2_normalize/l2_normalize_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable l2_normalize(const Variable& input, double eps) {
    const ProfileScope scope("l2_normalize");
    check_float_operand("l2_normalize", "x", input.value());
    check(input.rank() >= 1, "l2_normalize", "x must have at least one dimension: got ", input.value());
    // The smallest normal f32 is the least that a division can take.
    check(eps >= 1.2e-38, "l2_normalize", "eps must be at least 1.2e-38: got ", eps);
    const Tensor x = input.value().contiguous();
    Tensor y = Tensor::like(x);
    Tensor norms = Tensor::empty({row_count(x)}, compute_dtype(x.dtype()), x.device());
    if (x.numel() > 0) DEMI_SELECT(l2_normalize, x.device(), forward)(x, eps, y, norms);
    return record("l2_normalize", {input}, y,
                  [x = Saved(x), norms = Saved(norms), eps](const Tensor& dy, const Needs&) -> Tensors {
                      Tensor dx = Tensor::like(x.get());
                      if (dx.numel() > 0) DEMI_SELECT(l2_normalize, dx.device(), backward)
                      (x, norms, eps, dy.contiguous(), dx);
                      return {dx};
                  });
}

}  // namespace demi
