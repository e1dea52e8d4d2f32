#include "ops/views/concat.h"

#include "ops/op.h"
#include "ops/views/views.h"
#include "runtime/copy.h"

namespace demi {

Variable concat(const std::vector<Variable>& xs, int dim) {
    const Op op("concat");
    op.check(!xs.empty(), "needs at least one tensor");
    op.check(xs[0].defined(), "tensor 0 must be defined");
    dim = normalize_dim(dim, xs[0].rank(), op.name());
    Shape shape = xs[0].shape();
    DType dtype = xs[0].dtype();
    std::vector<int64_t> begins;
    std::vector<DType> dtypes;
    shape[dim] = 0;
    for (size_t i = 0; i < xs.size(); ++i) {
        op.check(xs[i].defined(), "tensor ", i, " must be defined");
        Shape like = xs[i].shape();
        if (like.rank() == shape.rank()) like[dim] = shape[dim];
        op.check(like == shape, "sizes must be equal but for dimension ", dim, ": got ", xs[0].shape(),
                 " and, at ", i, ", ", xs[i].shape());
        op.check(xs[i].device() == xs[0].device(), "tensors must be on one device: got ", xs[0].value(),
                 " and, at ", i, ", ", xs[i].value());
        begins.push_back(shape[dim]);
        dtypes.push_back(xs[i].dtype());
        shape[dim] = checked_add(shape[dim], xs[i].size(dim), op.name());
        dtype = promote(dtype, xs[i].dtype());
    }
    begins.push_back(shape[dim]);
    Tensor y = Tensor::empty(shape, dtype, xs[0].device());
    for (size_t i = 0; i < xs.size(); ++i) copy(y.slice(dim, begins[i], begins[i + 1]), xs[i].value());
    return op.record(xs, y, [=](const Tensor& dy, const Needs& needs) -> Tensors {
        Tensors grads(dtypes.size());
        for (size_t i = 0; i < grads.size(); ++i)
            if (needs[i]) grads[i] = dy.slice(dim, begins[i], begins[i + 1]).to(dtypes[i]);
        return grads;
    });
}

Variable stack(const std::vector<Variable>& xs, int dim) {
    check(!xs.empty(), "stack", "needs at least one tensor");
    check(xs[0].defined(), "stack", "tensor 0 must be defined");
    check(xs[0].rank() < Shape::kMaxRank, "stack", "needs tensors of at most ", Shape::kMaxRank - 1,
          " dimensions: got ", xs[0].value());
    dim = normalize_dim(dim, xs[0].rank() + 1, "stack");
    std::vector<Variable> lifted;
    for (const Variable& x : xs) {
        check(x.defined() && x.shape() == xs[0].shape(), "stack", "shapes must be equal: got ", xs[0].shape(),
              " and ", x.value());
        lifted.push_back(unsqueeze(x, dim));
    }
    return concat(lifted, dim);
}

}  // namespace demi
