#include "ops/swiglu/swiglu.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/swiglu/swiglu_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable swiglu(const Variable& input) {
    const ProfileScope scope("swiglu");
    check_float_operand("swiglu", "x", input.value());
    check(input.rank() >= 1 && input.size(-1) % 2 == 0, "swiglu", "x must have an even last size: got ",
          input.value());
    const Tensor x = input.value().contiguous();
    Shape shape = x.shape();
    shape[x.rank() - 1] /= 2;
    Tensor y = Tensor::empty(shape, x.dtype(), x.device());
    if (y.numel() > 0) DEMI_SELECT(swiglu, x.device(), forward)(x, y);
    return record("swiglu", {input}, y, [x = Saved(x)](const Tensor& dy, const Needs&) -> Tensors {
        Tensor dx = Tensor::like(x.get());
        if (dx.numel() > 0) DEMI_SELECT(swiglu, dx.device(), backward)(x, dy.contiguous(), dx);
        return {dx};
    });
}

}  // namespace demi
