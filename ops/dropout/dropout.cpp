#include "ops/dropout/dropout.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/dropout/dropout_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable dropout(const Variable& input, double p, Generator& generator, bool training) {
    const ProfileScope scope("dropout");
    check_float_operand("dropout", "x", input.value());
    check(p >= 0 && p <= 1, "dropout", "p must be in [0, 1]: got ", p);
    if (!training || p == 0) return input;
    const Tensor x = input.value().contiguous();
    const DropoutDraw draw = dropout_draw(take_draw(generator, x.numel(), x.device()), p);
    Tensor y = Tensor::like(x);
    if (x.numel() > 0) DEMI_SELECT(dropout, x.device(), apply)(x, draw, y);
    return record("dropout", {input}, y, [draw](const Tensor& grad, const Needs&) -> Tensors {
        const Tensor dy = grad.contiguous();
        Tensor dx = Tensor::like(dy);
        if (dx.numel() > 0) DEMI_SELECT(dropout, dx.device(), apply)(dy, draw, dx);
        return {dx};
    });
}

}  // namespace demi
