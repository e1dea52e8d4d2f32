#include "ops/argmax/argmax.h"

#include "ops/common/max_rows.h"

namespace demi {
namespace {

Tensor place(std::string_view op, const Tensor& x, int dim, bool smallest) {
    check(x.defined(), op, "x must be a defined tensor");
    const Dims dims{normalize_dim(dim, x.rank(), op)};
    return max_rows(op, x, dims, smallest).indices.view(drop_reduced(x.shape(), dims));
}

}  // namespace

Tensor argmax(const Tensor& x, int dim) { return place("argmax", x, dim, false); }
Tensor argmin(const Tensor& x, int dim) { return place("argmin", x, dim, true); }

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
