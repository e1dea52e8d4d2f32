#include "ops/index/index_select.h"

#include "ops/index/index_kernels.h"
#include "ops/index/row_index.h"
#include "ops/op.h"

namespace demi {

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
