#include "ops/silu/silu.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/silu/silu_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable silu(const Variable& input) {
    const ProfileScope scope("silu");
    check_float_operand("silu", "x", input.value());
    const Tensor x = input.value().contiguous();
    Tensor y = Tensor::like(x);
    DEMI_SELECT(silu, x.device(), forward)(x, y);
    return record("silu", {input}, y, [x = Saved(x)](const Tensor& dy, const Needs&) -> Tensors {
        Tensor dx = Tensor::like(x.get());
        DEMI_SELECT(silu, dx.device(), backward)(x, dy.contiguous(), dx);
        return {dx};
    });
}

}  // namespace demi
