#include "ops/views/views.h"

#include <algorithm>

#include "ops/op.h"
#include "ops/reduce/sums.h"
#include "ops/views/dims.h"
#include "runtime/copy.h"

namespace demi {

Shape keep_reduced(std::string_view op, const Shape& shape, const Dims& dims) {
    Shape out = shape;
    std::vector<int> seen;
    for (int dim : dims) {
        const int d = normalize_dim(dim, shape.rank(), op);
        check(std::find(seen.begin(), seen.end(), d) == seen.end(), op, "dimension ", dim, " is named twice");
        seen.push_back(d);
        out[d] = 1;
    }
    for (int d = 0; dims.empty() && d < out.rank(); ++d) out[d] = 1;
    return out;
}

Shape drop_reduced(const Shape& shape, const Dims& dims) {
    Shape out;
    for (int d = 0; d < shape.rank(); ++d) {
        const bool dropped = dims.empty() || std::find(dims.begin(), dims.end(), d) != dims.end() ||
                             std::find(dims.begin(), dims.end(), d - shape.rank()) != dims.end();
        if (!dropped) out.push_back(shape[d]);
    }
    return out;
}

namespace {

// dy at begin, begin + step, ... along `dim` of a tensor of `shape`, 0 elsewhere. dy itself where it fills all of it.
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

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
    const Op op("reshape");
    return op.record(x, x.value().reshape(shape),
                     [from = x.shape()](const Tensor& dy) { return dy.reshape(from); });
}

Variable transpose(const Variable& x, int a, int b) {
    const Op op("transpose");
    return op.record(x, x.value().transpose(a, b), [a, b](const Tensor& dy) { return dy.transpose(a, b); });
}

Variable permute(const Variable& x, const Dims& dims) {
    const Op op("permute");
    Tensor y = x.value().permute(dims);
    std::vector<int> back(dims.size());
    for (size_t i = 0; i < dims.size(); ++i)
        back[static_cast<size_t>(normalize_dim(dims[i], x.rank(), op.name()))] = static_cast<int>(i);
    return op.record(x, y, [back](const Tensor& dy) { return dy.permute(back); });
}

Variable slice(const Variable& x, int dim, int64_t begin, int64_t end, int64_t step) {
    const Op op("slice");
    Tensor y = x.value().slice(dim, begin, end, step);
    dim = normalize_dim(dim, x.rank(), op.name());
    const SliceRange range = normalize_range(begin, end, dim, x.shape(), op.name());
    return op.record(x, y, [=, shape = x.shape()](const Tensor& dy) {
        return slice_grad(dy, shape, dim, range.begin, range.end, step);
    });
}

Variable select(const Variable& x, int dim, int64_t index) {
    const Op op("select");
    Tensor y = x.value().select(dim, index);
    dim = normalize_dim(dim, x.rank(), op.name());
    if (index < 0) index += x.size(dim);
    return op.record(x, y, [=, shape = x.shape()](const Tensor& dy) {
        return slice_grad(dy.unsqueeze(dim), shape, dim, index, index + 1, 1);
    });
}

Variable squeeze(const Variable& x, int dim) {
    const Op op("squeeze");
    Tensor y = x.value().squeeze(dim);
    dim = normalize_dim(dim, x.rank(), op.name());
    return op.record(x, y, [dim](const Tensor& dy) { return dy.unsqueeze(dim); });
}

Variable unsqueeze(const Variable& x, int dim) {
    const Op op("unsqueeze");
    Tensor y = x.value().unsqueeze(dim);
    dim = normalize_dim(dim, x.rank() + 1, op.name());
    return op.record(x, y, [dim](const Tensor& dy) { return dy.squeeze(dim); });
}

Variable expand(const Variable& x, const Shape& shape) {
    const Op op("expand");
    return op.record(x, x.value().expand(shape),
                     [from = x.shape()](const Tensor& dy) { return sum_to(dy, from, dy.dtype()); });
}

}  // namespace demi
