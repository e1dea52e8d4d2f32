#include "ops/argmax/argmax.h"

#include "ops/common/max_rows.h"

namespace demi {

Tensor argmax(const Tensor& x, int dim) {
    check(x.defined() && is_float(x.dtype()), "argmax", "needs a floating-point tensor: got ", x);
    const Dims dims{normalize_dim(dim, x.rank(), "argmax")};
    return max_rows("argmax", x, dims).indices.view(drop_reduced(x.shape(), dims));
}

int64_t count_equal(const Tensor& a, const Tensor& b) {
    check(a.defined() && b.defined() && !is_float(a.dtype()) && !is_float(b.dtype()) &&
              a.shape() == b.shape(),
          "count_equal", "needs two integer tensors of one shape: got ", a, " and ", b);
    const std::vector<int64_t> x = a.to_vector<int64_t>(), y = b.to_vector<int64_t>();
    int64_t count = 0;
    for (size_t i = 0; i < x.size(); ++i) count += x[i] == y[i];
    return count;
}

}  // namespace demi
