#include "ops/index/gather.h"

#include "ops/elementwise/elementwise.h"
#include "ops/index/checked_index.h"
#include "ops/index/gather_kernels.h"
#include "runtime/profile.h"

namespace demi {
namespace {

// [.., size along dim, ..] as contiguous rows of that dimension.
Tensor rows_along(const Tensor& x, int dim) {
    const Tensor moved = x.transpose(dim, -1);
    const int64_t length = moved.shape().back();
    return moved.contiguous().view({length > 0 ? x.numel() / length : 0, length});
}

Tensor back_to(const Tensor& rows, Shape shape, int dim) {
    std::swap(shape[dim], shape[shape.rank() - 1]);
    return rows.view(shape).transpose(dim, -1);
}

}  // namespace

Variable gather(const Variable& x, int dim, const Tensor& index) {
    const ProfileScope scope("gather");
    const Tensor& value = float_value("gather", x);
    dim = normalize_dim(dim, x.rank(), "gather");
    check(index.defined(), "gather", "index must be a defined tensor");
    note_read(index);
    Shape like = index.shape();
    if (like.rank() == x.rank()) like[dim] = x.size(dim);
    check(like == x.shape(), "gather", "index must have x's shape ", x.shape(), " but for dimension ", dim,
          ": got ", index.shape());
    const Tensor at = rows_along(checked_index("gather", index, x.size(dim), x.device()), dim);
    Tensor y = Tensor::empty(at.shape(), x.dtype(), x.device());
    if (y.numel() > 0) DEMI_SELECT(gather, x.device(), forward)(y, rows_along(value, dim), at);
    return record("gather", {x}, back_to(y, index.shape(), dim),
                  [=, at = Saved(at), shape = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
                      if (dy.numel() == 0) return {Tensor::zeros(shape, dy.dtype(), dy.device())};
                      const int64_t s = shape[dim];
                      Tensor dx = Tensor::empty({at.get().size(0), s}, dy.dtype(), dy.device());
                      DEMI_SELECT(gather, dy.device(), backward)(dx, rows_along(dy, dim), at);
                      return {back_to(dx, shape, dim)};
                  });
}

}  // namespace demi
