#include "ops/reshape/reshape.h"

#include "autograd/record.h"
#include "runtime/profile.h"

namespace demi {

Variable reshape(const Variable& x, const Shape& shape) {
    const ProfileScope scope("reshape");
    return record(
        "reshape", {x}, x.value().reshape(shape),
        [from = x.shape()](const Tensor& dy, const Needs&) -> Tensors { return {dy.reshape(from)}; });
}

}  // namespace demi
