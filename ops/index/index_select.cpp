#include "ops/index/index_select.h"

#include "autograd/record.h"
#include "ops/index/checked_index.h"
#include "ops/index/index_select_kernels.h"
#include "runtime/profile.h"

namespace demi {

Variable index_select(const Variable& x, int dim, const Tensor& index) {
    const ProfileScope scope("index_select");
    check(x.defined(), "index_select", "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), "index_select");
    check(index.defined() && index.rank() == 1, "index_select", "index must have one dimension: got ", index);
    note_read(index);
    const Tensor at = checked_index("index_select", index, x.size(dim), x.device());
    int64_t before = 1, behind = 1;
    for (int d = 0; d < x.rank(); ++d) {
        int64_t& size = d < dim ? before : behind;
        if (d != dim) size = checked_mul(size, x.size(d), "index_select");
    }
    const int64_t s = x.size(dim), n = at.numel();
    Shape shape = x.shape();
    shape[dim] = n;
    Tensor y = Tensor::empty({before, n, behind}, x.dtype(), x.device());
    if (y.numel() > 0) DEMI_SELECT(index_select, x.device(), forward)
    (y, x.value().contiguous().view({before, s, behind}), at);
    return record("index_select", {x}, y.view(shape),
                  [=, at = Saved(at), full = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
                      Tensor dx = Tensor::empty({before, s, behind}, dy.dtype(), dy.device());
                      if (dx.numel() > 0) DEMI_SELECT(index_select, dy.device(), backward)
                      (dx, dy.contiguous().view({before, n, behind}), at);
                      return {dx.view(full)};
                  });
}

}  // namespace demi
