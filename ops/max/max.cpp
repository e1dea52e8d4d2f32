#include "ops/max/max.h"

#include "autograd/record.h"
#include "ops/common/max_rows.h"
#include "ops/index/gather_kernels.h"
#include "runtime/profile.h"

namespace demi {
namespace {

Variable extreme(std::string_view op, const Variable& x, const Dims& dims, bool keepdim, bool smallest) {
    const ProfileScope scope(op);
    check(x.defined(), op, "x must be a defined tensor");
    const Shape kept = keep_reduced(op, x.shape(), dims);
    const MaxRows top = max_rows(op, x.value(), dims, smallest);
    Tensor y = top.values.view(keepdim ? kept : drop_reduced(x.shape(), dims));
    return record(op, {x}, y,
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

}  // namespace

Variable max(const Variable& x, const Dims& dims, bool keepdim) {
    return extreme("max", x, dims, keepdim, false);
}

Variable min(const Variable& x, const Dims& dims, bool keepdim) {
    return extreme("min", x, dims, keepdim, true);
}

}  // namespace demi
