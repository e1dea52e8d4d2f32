#include "ops/relu/relu.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/relu/relu_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable relu(const Variable& input) {
    const ProfileScope scope("relu");
    check_float_operand("relu", "x", input.value());
    const Tensor x = input.value().contiguous();
    Tensor y = Tensor::like(x);
    DEMI_SELECT(relu, x.device(), forward)(x, y);
    return record("relu", {input}, y, [x = Saved(x)](const Tensor& dy, const Needs&) -> Tensors {
        Tensor dx = Tensor::like(x.get());
        DEMI_SELECT(relu, dx.device(), backward)(x, dy.contiguous(), dx);
        return {dx};
    });
}

}  // namespace demi
