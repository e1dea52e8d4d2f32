#include "ops/common/max_rows.h"

#include "ops/common/reduce_kernels.h"

namespace demi {

MaxRows max_rows(std::string_view op, const Tensor& x, const Dims& dims, bool smallest) {
    MaxRows out;
    std::vector<bool> reduced(static_cast<size_t>(x.rank()), dims.empty());
    for (int d : dims) reduced[static_cast<size_t>(normalize_dim(d, x.rank(), op))] = true;
    for (const bool wanted : {false, true})
        for (int d = 0; d < x.rank(); ++d)
            if (reduced[static_cast<size_t>(d)] == wanted) out.order.push_back(d);
    int64_t rows = 1, length = 1;
    for (int d = 0; d < x.rank(); ++d) {
        int64_t& size = reduced[static_cast<size_t>(d)] ? length : rows;
        size = checked_mul(size, x.shape()[d], op);
    }
    check(length > 0, op, "needs at least one element to compare: got ", x.shape());
    const Tensor moved = x.permute(out.order);
    out.permuted = moved.shape();
    out.values = Tensor::empty({rows}, x.dtype(), x.device());
    out.indices = Tensor::empty({rows}, DType::i64, x.device());
    if (rows > 0) DEMI_SELECT(reduce, x.device(), max)
    (out.values, out.indices, moved.contiguous().view({rows, length}), smallest);
    return out;
}

}  // namespace demi
