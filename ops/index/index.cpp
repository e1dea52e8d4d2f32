#include "ops/index/gather.h"
#include "ops/index/index_kernels.h"
#include "ops/index/index_select.h"
#include "ops/index/row_index.h"
#include "ops/op.h"

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
    const Op op("gather");
    const Tensor& value = x.value();
    op.check(value.defined() && is_float(value.dtype()), "needs a floating-point tensor: got ", value);
    dim = normalize_dim(dim, x.rank(), op.name());
    op.check(index.defined(), "index must be a defined tensor");
    note_read(index);
    Shape like = index.shape();
    if (like.rank() == x.rank()) like[dim] = x.size(dim);
    op.check(like == x.shape(), "index must have x's shape ", x.shape(), " but for dimension ", dim, ": got ",
             index.shape());
    const Tensor at = rows_along(checked_index(op.name(), index, x.size(dim), x.device()), dim);
    Tensor y = Tensor::empty(at.shape(), x.dtype(), x.device());
    if (y.numel() > 0) {
        const Tensor rows = rows_along(value, dim);
        const int64_t n = y.size(1);
        index_on(x.device())
            .take_rows({reads(rows), writes(y), at.data<int64_t>(), y.size(0), rows.size(1), n, n, 1},
                       queue_of(x.device()));
    }
    return op.record(
        x, back_to(y, index.shape(), dim), [dim, at = Saved(at), shape = x.shape()](const Tensor& dy) {
            if (dy.numel() == 0) return Tensor::zeros(shape, dy.dtype(), dy.device());
            const Tensor lists = at.get(), rows = rows_along(dy, dim);
            const int64_t a = lists.size(0), s = shape[dim];
            Tensor dx = Tensor::empty({a, s}, dy.dtype(), dy.device());
            if (dx.numel() > 0)
                index_on(dy.device())
                    .add_elements({reads(rows), writes(dx), lists.data<int64_t>(), a, s, lists.size(1)},
                                  queue_of(dy));
            return back_to(dx, shape, dim);
        });
}

Variable index_select(const Variable& x, int dim, const Tensor& index) {
    const Op op("index_select");
    op.check(x.defined(), "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), op.name());
    op.check(index.defined() && index.rank() == 1, "index must have one dimension: got ", index);
    note_read(index);
    const Tensor at = checked_index(op.name(), index, x.size(dim), x.device());
    int64_t before = 1, behind = 1;
    for (int d = 0; d < x.rank(); ++d) {
        int64_t& size = d < dim ? before : behind;
        if (d != dim) size = checked_mul(size, x.size(d), op.name());
    }
    const int64_t s = x.size(dim), n = at.numel();
    Shape shape = x.shape();
    shape[dim] = n;
    Tensor y = Tensor::empty({before, n, behind}, x.dtype(), x.device());
    if (y.numel() > 0) {
        const Tensor from = x.value().contiguous();
        index_on(x.device())
            .take_rows({reads(from), writes(y), at.data<int64_t>(), before, s, n, 0, behind},
                       queue_of(x.device()));
    }
    return op.record(x, y.view(shape), [=, at = Saved(at), full = x.shape()](const Tensor& dy) {
        Tensor dx = Tensor::empty({before, s, behind}, dy.dtype(), dy.device());
        const Tensor from = dy.contiguous();
        if (dx.numel() > 0)
            index_on(dy.device())
                .add_rows({reads(from), writes(dx), at.get().data<int64_t>(), before, s, n, behind},
                          queue_of(dy));
        return dx.view(full);
    });
}

}  // namespace demi
