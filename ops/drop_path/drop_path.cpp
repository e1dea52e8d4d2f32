#include "ops/drop_path/drop_path.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/drop_path/drop_path_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable drop_path(const Variable& input, double p, Generator& generator, bool training) {
    const ProfileScope scope("drop_path");
    check_float_operand("drop_path", "x", input.value());
    check(input.rank() >= 1, "drop_path", "x must be [samples, ...]: got ", input.value());
    check(p >= 0 && p <= 1, "drop_path", "p must be in [0, 1]: got ", p);
    if (!training || p == 0) return input;
    const Tensor x = input.value().contiguous();
    const DropoutDraw draw = dropout_draw(take_draw(generator, x.size(0), x.device()), p);
    Tensor y = Tensor::like(x);
    if (x.numel() > 0) DEMI_SELECT(drop_path, x.device(), apply)(x, draw, y);
    return record("drop_path", {input}, y, [draw](const Tensor& grad, const Needs&) -> Tensors {
        const Tensor dy = grad.contiguous();
        Tensor dx = Tensor::like(dy);
        if (dx.numel() > 0) DEMI_SELECT(drop_path, dx.device(), apply)(dy, draw, dx);
        return {dx};
    });
}

}  // namespace demi
