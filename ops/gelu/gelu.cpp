#include "ops/gelu/gelu.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/gelu/gelu_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable gelu(const Variable& input) {
    const ProfileScope scope("gelu");
    check_float_operand("gelu", "x", input.value());
    const Tensor x = input.value().contiguous();
    Tensor y = Tensor::like(x);
    DEMI_SELECT(gelu, x.device(), forward)(x, y);
    return record("gelu", {input}, y, [x = Saved(x)](const Tensor& dy, const Needs&) -> Tensors {
        Tensor dx = Tensor::like(x.get());
        DEMI_SELECT(gelu, dx.device(), backward)(x, dy.contiguous(), dx);
        return {dx};
    });
}

}  // namespace demi
