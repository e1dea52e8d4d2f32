// Views of a Tensor: new shape, strides and offset over the same Buffer.
#include <algorithm>
#include <array>

#include "runtime/tensor.h"

namespace demi {

namespace {

Shape resolve_shape(const Shape& wanted, const Tensor& t) {
    Shape shape = wanted;
    int unknown = -1;
    int64_t known = 1;
    for (int i = 0; i < shape.rank(); ++i) {
        if (shape[i] == -1) {
            check(unknown < 0, "view", "only one size may be -1: got ", wanted);
            unknown = i;
        } else {
            check(shape[i] >= 0, "view", "sizes must not be negative: got ", wanted);
            known = checked_mul(known, shape[i], "view");
        }
    }
    if (unknown >= 0) {
        check(known > 0 && t.numel() % known == 0, "view", "cannot infer -1: ", t.shape(),
              " does not divide into ", wanted);
        shape[unknown] = t.numel() / known;
    }
    check(shape.numel() == t.numel(), "view", "number of elements must stay ", t.numel(), ": ", t.shape(),
          " to ", wanted);
    return shape;
}

// Strides that show `shape` over the memory of (from, strides); false where no such strides exist.
bool view_strides(const Shape& from, const Shape& strides, const Shape& shape, Shape& out) {
    out = contiguous_strides(shape);
    if (shape.numel() == 0) return true;
    int to = shape.rank() - 1;
    int64_t chunk = 1;   // elements of `from` merged so far
    int64_t base = 1;    // stride of the innermost dimension of the chunk
    int64_t placed = 1;  // elements of `shape` placed in the chunk
    bool fresh = true;
    for (int i = from.rank() - 1; i >= 0; --i) {
        if (from[i] == 1) continue;
        if (fresh) {
            base = strides[i];
            chunk = 1;
            placed = 1;
            fresh = false;
        }
        chunk *= from[i];
        int next = i - 1;
        while (next >= 0 && from[next] == 1) --next;
        const bool joins = next >= 0 && strides[next] == strides[i] * from[i];
        if (joins) continue;
        while (to >= 0 && (placed < chunk || shape[to] == 1)) {
            out[to] = placed * base;
            placed *= shape[to];
            --to;
        }
        if (placed != chunk) return false;
        fresh = true;
    }
    return true;
}

}  // namespace

Tensor Tensor::view(const Shape& wanted) const {
    const Shape shape = resolve_shape(wanted, *this);
    Tensor t = *this;
    t.shape_ = shape;
    check(view_strides(shape_, strides_, shape, t.strides_), "view", "strides ", strides_, " of shape ",
          shape_, " cannot be seen as ", shape, "; use reshape");
    return t;
}

Tensor Tensor::transpose(int a, int b) const {
    a = normalize_dim(a, rank(), "transpose");
    b = normalize_dim(b, rank(), "transpose");
    Tensor t = *this;
    std::swap(t.shape_[a], t.shape_[b]);
    std::swap(t.strides_[a], t.strides_[b]);
    return t;
}

Tensor Tensor::permute(std::span<const int> dims) const {
    check(static_cast<int>(dims.size()) == rank(), "permute", "needs ", rank(), " dimensions for ", shape_,
          ": got ", dims.size());
    Tensor t = *this;
    std::array<bool, Shape::kMaxRank> seen{};
    for (int i = 0; i < rank(); ++i) {
        const int d = normalize_dim(dims[static_cast<size_t>(i)], rank(), "permute");
        check(!seen[static_cast<size_t>(d)], "permute", "dimension ", d, " is named twice");
        seen[static_cast<size_t>(d)] = true;
        t.shape_[i] = shape_[d];
        t.strides_[i] = strides_[d];
    }
    return t;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end, int64_t step) const {
    dim = normalize_dim(dim, rank(), "slice");
    check(step >= 1, "slice", "step must be at least 1: got ", step);
    check(0 <= begin && begin <= end && end <= shape_[dim], "slice", "range must lie in [0, ", shape_[dim],
          "] of dimension ", dim, " of ", shape_, ": got [", begin, ", ", end, ")");
    Tensor t = *this;
    step = std::min(step,
                    std::max<int64_t>(end - begin, 1));  // longer steps take the first element all the same
    t.shape_[dim] = (end - begin + step - 1) / step;
    t.offset_ += begin * strides_[dim];
    t.strides_[dim] = strides_[dim] * step;
    t.numel_ = t.shape_.numel();
    return t;
}

Tensor Tensor::select(int dim, int64_t index) const {
    dim = normalize_dim(dim, rank(), "select");
    check(0 <= index && index < shape_[dim], "select", "index must be in [0, ", shape_[dim],
          ") of dimension ", dim, " of ", shape_, ": got ", index);
    Tensor t = slice(dim, index, index + 1);
    t.shape_.erase(dim);
    t.strides_.erase(dim);
    return t;
}

Tensor Tensor::expand(const Shape& shape) const {
    check(shape.rank() >= rank(), "expand", "cannot expand ", shape_, " to ", shape);
    Tensor t = *this;
    t.shape_ = shape;
    t.strides_ = shape;
    const int shift = shape.rank() - rank();
    for (int i = 0; i < shape.rank(); ++i) {
        const int64_t have = i < shift ? 1 : shape_[i - shift];
        check(have == shape[i] || (have == 1 && shape[i] >= 0), "expand", "cannot expand ", shape_, " to ",
              shape);
        t.strides_[i] = i < shift || have != shape[i] ? 0 : strides_[i - shift];
    }
    t.numel_ = shape.numel();
    return t;
}

Tensor Tensor::unsqueeze(int dim) const {
    dim = normalize_dim(dim, rank() + 1, "unsqueeze");
    Tensor t = *this;
    t.strides_.insert(dim, dim < rank() ? shape_[dim] * strides_[dim] : 1);
    t.shape_.insert(dim, 1);
    return t;
}

Tensor Tensor::squeeze(int dim) const {
    dim = normalize_dim(dim, rank(), "squeeze");
    check(shape_[dim] == 1, "squeeze", "dimension ", dim, " must have size 1: got ", shape_);
    Tensor t = *this;
    t.shape_.erase(dim);
    t.strides_.erase(dim);
    return t;
}

Tensor Tensor::as_strided(const Shape& shape, const Shape& strides, int64_t offset) const {
    check(defined(), "as_strided", "needs a defined tensor: got an undefined one");
    check(shape.rank() == strides.rank(), "as_strided", "shape ", shape, " and strides ", strides,
          " differ in rank");
    Tensor t = *this;
    t.shape_ = shape;
    t.strides_ = strides;
    t.offset_ = offset;
    t.numel_ = shape.numel();
    int64_t last = offset;
    for (int i = 0; i < shape.rank(); ++i) {
        check(shape[i] >= 0 && strides[i] >= 0, "as_strided", "sizes and strides must not be negative: got ",
              shape, " and ", strides);
        if (t.numel_ > 0)
            last = checked_add(last, checked_mul(shape[i] - 1, strides[i], "as_strided"), "as_strided");
    }
    const int64_t held = static_cast<int64_t>(buffer_->bytes() / size_of(dtype_));
    check(offset >= 0 && offset <= held && (t.numel_ == 0 || last < held), "as_strided", "view ", shape,
          " with strides ", strides, " at offset ", offset, " leaves a buffer of ", held, " elements");
    return t;
}

Tensor Tensor::bitcast(DType dtype) const {
    check(size_of(dtype) == size_of(dtype_), "bitcast", "element sizes differ: ", dtype_, " to ", dtype);
    check(dtype != DType::boolean || dtype_ == dtype, "bitcast", "bool holds 0 and 1 only: use to() for ",
          dtype_);
    Tensor t = *this;
    t.dtype_ = dtype;
    return t;
}

Tensor Tensor::bytes_as(DType dtype, const Shape& shape) const {
    const auto size = static_cast<int64_t>(size_of(dtype));
    check(dtype_ == DType::u8 && is_contiguous() && offset_ % size == 0 && numel_ == shape.numel() * size,
          "bytes_as", "needs ", shape.numel() * size, " contiguous bytes at a multiple of ", size, ": got ",
          *this, " at ", offset_);
    Tensor t = *this;
    t.dtype_ = dtype;
    t.shape_ = shape;
    t.strides_ = contiguous_strides(shape);
    t.offset_ = offset_ / size;
    t.numel_ = shape.numel();
    return t;
}

}  // namespace demi
