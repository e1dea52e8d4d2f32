#include "ops/max/max.h"

#include "ops/common/elementwise.h"
#include "ops/common/max_rows.h"
#include "ops/gather/gather_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable max(const Variable& x, const Dims& dims, bool keepdim) {
    const ProfileScope scope("max");
    const Tensor& value = float_value("max", x);
    const Shape kept = keep_reduced("max", x.shape(), dims);
    const MaxRows top = max_rows("max", value, dims);
    Tensor y = top.values.view(keepdim ? kept : drop_reduced(x.shape(), dims));
    return record("max", {x}, y,
                  [indices = Saved(top.indices), order = top.order,
                   permuted = top.permuted](const Tensor& dy, const Needs&) -> Tensors {
                      const int64_t rows = dy.numel(), length = rows > 0 ? permuted.numel() / rows : 0;
                      Tensor dx = Tensor::empty({rows, length}, dy.dtype(), dy.device());
                      if (rows > 0) DEMI_SELECT(gather, dy.device(), backward)
                      (dx, dy.contiguous().view({rows, 1}), indices.get().view({rows, 1}));
                      std::vector<int> back(order.size());
                      for (size_t i = 0; i < order.size(); ++i)
                          back[static_cast<size_t>(order[i])] = static_cast<int>(i);
                      return {dx.view(permuted).permute(back)};
                  });
}

}  // namespace demi
