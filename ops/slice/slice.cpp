#include "ops/slice/slice.h"

#include "autograd/record.h"
#include "ops/slice/slice_grad.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {

Tensor slice_grad(const Tensor& dy, const Shape& shape, int dim, int64_t begin, int64_t end, int64_t step) {
    if (dy.shape() == shape) return dy;
    Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
    if (step == 1) {  // every element is written once
        fill(dx.slice(dim, 0, begin), 0);
        fill(dx.slice(dim, end, shape[dim]), 0);
    } else {
        fill(dx, 0);
    }
    copy(dx.slice(dim, begin, end, step), dy);
    return dx;
}

Variable slice(const Variable& x, int dim, int64_t begin, int64_t end, int64_t step) {
    const ProfileScope scope("slice");
    Tensor y = x.value().slice(dim, begin, end, step);
    dim = normalize_dim(dim, x.rank(), "slice");
    const SliceRange range = normalize_range(begin, end, dim, x.shape(), "slice");
    return record("slice", {x}, y, [=, shape = x.shape()](const Tensor& dy, const Needs&) -> Tensors {
        return {slice_grad(dy, shape, dim, range.begin, range.end, step)};
    });
}

}  // namespace demi
