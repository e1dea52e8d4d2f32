#include "ops/squeeze/squeeze.h"

#include "autograd/record.h"
#include "runtime/profile.h"

namespace demi {

Variable squeeze(const Variable& x, int dim) {
    const ProfileScope scope("squeeze");
    Tensor y = x.value().squeeze(dim);
    dim = normalize_dim(dim, x.rank(), "squeeze");
    return record("squeeze", {x}, y,
                  [dim](const Tensor& dy, const Needs&) -> Tensors { return {dy.unsqueeze(dim)}; });
}

Variable unsqueeze(const Variable& x, int dim) {
    const ProfileScope scope("unsqueeze");
    Tensor y = x.value().unsqueeze(dim);
    dim = normalize_dim(dim, x.rank() + 1, "unsqueeze");
    return record("unsqueeze", {x}, y,
                  [dim](const Tensor& dy, const Needs&) -> Tensors { return {dy.squeeze(dim)}; });
}

}  // namespace demi
