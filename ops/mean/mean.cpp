#include "ops/mean/mean.h"

#include <limits>

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
#include "runtime/profile.h"

namespace demi {

Variable mean(const Variable& x, const Dims& dims, bool keepdim) {
    const ProfileScope scope("mean");
    check(x.defined() && is_float(x.dtype()), "mean",
          "needs a floating-point tensor, which cast(x, DType::f32) makes: got ", x.value());
    const Shape kept = keep_reduced("mean", x.shape(), dims);
    int64_t count = 1;
    for (int d = 0; d < x.rank(); ++d)
        if (kept[d] == 1) count = checked_mul(count, x.shape()[d], "mean");
    Tensor y = count > 0
                   ? sum_to(x.value(), kept, x.dtype(), 1.0 / static_cast<double>(count))
                   : Tensor::full(kept, std::numeric_limits<double>::quiet_NaN(), x.dtype(), x.device());
    if (!keepdim) y = y.view(drop_reduced(x.shape(), dims));
    return record(
        "mean", {x}, y, [kept, count, shape = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
            if (count == 0) return {Tensor::zeros(shape, dy.dtype(), dy.device())};
            const Tensor share =
                elementwise("mean", ElementFn::div_scalar, {dy}, dy.dtype(), static_cast<double>(count));
            return {share.view(kept).expand(shape)};
        });
}

}  // namespace demi
