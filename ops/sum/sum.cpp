#include "ops/sum/sum.h"

#include "ops/common/elementwise.h"
#include "ops/common/reduce.h"
#include "runtime/profile.h"

namespace demi {

Variable sum(const Variable& x, const Dims& dims, bool keepdim) {
    const ProfileScope scope("sum");
    check(x.defined(), "sum", "x must be a defined tensor");
    const Shape kept = keep_reduced("sum", x.shape(), dims);
    Tensor y = sum_to(x.value(), kept, is_float(x.dtype()) ? x.dtype() : DType::i64);
    if (!keepdim) y = y.view(drop_reduced(x.shape(), dims));
    return record("sum", {x}, y, [kept, shape = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
        return {dy.reshape(kept).expand(shape)};
    });
}

}  // namespace demi
