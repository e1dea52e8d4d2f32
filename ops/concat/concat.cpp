#include "ops/concat/concat.h"

#include "autograd/record.h"
#include "ops/squeeze/squeeze.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {

Variable concat(const std::vector<Variable>& xs, int dim) {
    const ProfileScope scope("concat");
    check(!xs.empty(), "concat", "needs at least one tensor");
    check(xs[0].defined(), "concat", "tensor 0 must be defined");
    dim = normalize_dim(dim, xs[0].rank(), "concat");
    Shape shape = xs[0].shape();
    DType dtype = xs[0].dtype();
    std::vector<int64_t> begins;
    std::vector<DType> dtypes;
    shape[dim] = 0;
    for (size_t i = 0; i < xs.size(); ++i) {
        check(xs[i].defined(), "concat", "tensor ", i, " must be defined");
        Shape like = xs[i].shape();
        if (like.rank() == shape.rank()) like[dim] = shape[dim];
        check(like == shape, "concat", "sizes must be equal but for dimension ", dim, ": got ", xs[0].shape(),
              " and, at ", i, ", ", xs[i].shape());
        check(xs[i].device() == xs[0].device(), "concat", "tensors must be on one device: got ",
              xs[0].value(), " and, at ", i, ", ", xs[i].value());
        begins.push_back(shape[dim]);
        dtypes.push_back(xs[i].dtype());
        shape[dim] = checked_add(shape[dim], xs[i].size(dim), "concat");
        dtype = promote(dtype, xs[i].dtype());
    }
    begins.push_back(shape[dim]);
    Tensor y = Tensor::empty(shape, dtype, xs[0].device());
    for (size_t i = 0; i < xs.size(); ++i) copy(y.slice(dim, begins[i], begins[i + 1]), xs[i].value());
    return record("concat", xs, y, [=](const Tensor& dy, const Needs& needs) -> Tensors {
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
