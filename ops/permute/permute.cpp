#include "ops/permute/permute.h"

#include "autograd/record.h"
#include "runtime/profile.h"

namespace demi {

Variable permute(const Variable& x, const Dims& dims) {
    const ProfileScope scope("permute");
    Tensor y = x.value().permute(dims);
    std::vector<int> back(dims.size());
    for (size_t i = 0; i < dims.size(); ++i)
        back[static_cast<size_t>(normalize_dim(dims[i], x.rank(), "permute"))] = static_cast<int>(i);
    return record("permute", {x}, y,
                  [back](const Tensor& dy, const Needs&) -> Tensors { return {dy.permute(back)}; });
}

}  // namespace demi
