#include "ops/select/select.h"

#include "autograd/record.h"
#include "ops/slice/slice_grad.h"
#include "runtime/profile.h"

namespace demi {

Variable select(const Variable& x, int dim, int64_t index) {
    const ProfileScope scope("select");
    Tensor y = x.value().select(dim, index);
    dim = normalize_dim(dim, x.rank(), "select");
    if (index < 0) index += x.size(dim);
    return record("select", {x}, y, [=, shape = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
        return {slice_grad(dy.unsqueeze(dim), shape, dim, index, index + 1, 1)};
    });
}

}  // namespace demi
