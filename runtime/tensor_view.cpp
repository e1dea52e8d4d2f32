// Views of a Tensor: new shape, strides and offset over the same Buffer.
#include <algorithm>
#include <array>

#include "runtime/tensor.h"

namespace demi {

namespace {

// `wanted` with its -1 worked out; the number of elements stays.
Shape resolve_shape(const char* op, const Shape& wanted, const Tensor& t) {
    Shape shape = wanted, known = wanted;
    int unknown = -1;
    for (int i = 0; i < shape.rank(); ++i) {
        check(shape[i] >= -1, op, "sizes must not be negative: got ", wanted);
        if (shape[i] >= 0) continue;
        check(unknown < 0, op, "only one size may be -1: got ", wanted);
        unknown = i;
        known[i] = 1;
    }
    const int64_t count = known.numel();
    if (unknown >= 0) {
        check(count > 0 && t.numel() % count == 0, op, "cannot infer -1: ", t.shape(),
              " does not divide into ", wanted);
        shape[unknown] = t.numel() / count;
    }
    check(unknown >= 0 || count == t.numel(), op, "number of elements must stay ", t.numel(), ": ", t.shape(),
          " to ", wanted);
    return shape;
}

// Strides that show `shape` over the memory of (from, strides); false where no such strides exist.
bool view_strides(const Shape& from, const Shape& strides, const Shape& shape, Shape& out) {
    out = contiguous_strides(shape);
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

// Whether this could become a view of that shape; without elements it always can.
bool Tensor::set_view(const Shape& shape) {
    const Shape from = shape_, strides = strides_;
    set_shape("view", shape);
    forget_strides();
    return numel_ == 0 || view_strides(from, strides, shape, strides_);
}

Tensor Tensor::view(const Shape& wanted) const {
    require("view");
    const Shape shape = resolve_shape("view", wanted, *this);
    Tensor t = *this;
    check(t.set_view(shape), "view", "strides ", strides_, " of shape ", shape_, " cannot be seen as ", shape,
          "; use reshape");
    return t;
}

Tensor Tensor::reshape(const Shape& wanted) const {
    require("reshape");
    const Shape shape = resolve_shape("reshape", wanted, *this);
    Tensor t = *this;
    return t.set_view(shape) ? t : clone().view(shape);
}

Tensor Tensor::transpose(int a, int b) const {
    require("transpose");
    a = normalize_dim(a, rank(), "transpose");
    b = normalize_dim(b, rank(), "transpose");
    Tensor t = *this;
    std::swap(t.shape_[a], t.shape_[b]);
    std::swap(t.strides_[a], t.strides_[b]);
    return t;
}

Tensor Tensor::permute(std::span<const int> dims) const {
    require("permute");
    check(dims.size() == static_cast<size_t>(rank()), "permute", "needs ", rank(), " dimensions for ", shape_,
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
    require("slice");
    dim = normalize_dim(dim, rank(), "slice");
    check(step >= 1, "slice", "step must be at least 1: got ", step);
    const SliceRange range = normalize_range(begin, end, dim, shape_, "slice");
    const int64_t length = range.end - range.begin;
    Tensor t = *this;
    if (length == 0) {
        t.shape_[dim] = t.numel_ = 0;
    } else {
        step = std::min(step, length);  // longer steps take the first element all the same
        t.shape_[dim] = (length - 1) / step + 1;
        t.numel_ = numel_ / shape_[dim] * t.shape_[dim];
        t.offset_ += range.begin * strides_[dim];
        t.strides_[dim] = strides_[dim] * step;
    }
    t.forget_strides();
    return t;
}

Tensor Tensor::select(int dim, int64_t index) const {
    require("select");
    dim = normalize_dim(dim, rank(), "select");
    const int64_t size = shape_[dim], at = index < 0 ? index + size : index;
    check(0 <= at && at < size, "select", "index must be in [", -size, ", ", size, ") of dimension ", dim,
          " of ", shape_, ": got ", index);
    Tensor t = slice(dim, at, at + 1);
    t.shape_.erase(dim);
    t.strides_.erase(dim);
    return t;
}

Tensor Tensor::expand(const Shape& wanted) const {
    require("expand");
    const int shift = wanted.rank() - rank();
    Shape shape = wanted, strides = wanted;
    bool fits = shift >= 0;
    for (int i = 0; fits && i < shape.rank(); ++i) {
        const int64_t have = i < shift ? 1 : shape_[i - shift];
        if (shape[i] == -1 && i >= shift) shape[i] = have;
        fits = have == shape[i] || (have == 1 && shape[i] >= 0);
        strides[i] = i < shift || have != shape[i] ? 0 : strides_[i - shift];
    }
    check(fits, "expand", "cannot expand ", shape_, " to ", wanted);
    Tensor t = *this;
    t.set_shape("expand", shape);
    t.strides_ = strides;
    t.forget_strides();
    return t;
}

Tensor Tensor::unsqueeze(int dim) const {
    require("unsqueeze");
    dim = normalize_dim(dim, rank() + 1, "unsqueeze");
    check(rank() < Shape::kMaxRank, "unsqueeze", "rank must be at most ", Shape::kMaxRank, ": cannot extend ",
          shape_);
    Tensor t = *this;
    t.strides_.insert(dim, dim < rank() && numel_ > 0 ? shape_[dim] * strides_[dim] : 1);
    t.shape_.insert(dim, 1);
    return t;
}

Tensor Tensor::squeeze(int dim) const {
    require("squeeze");
    dim = normalize_dim(dim, rank(), "squeeze");
    check(shape_[dim] == 1, "squeeze", "dimension ", dim, " must have size 1: got ", shape_);
    Tensor t = *this;
    t.shape_.erase(dim);
    t.strides_.erase(dim);
    return t;
}

Tensor Tensor::as_strided(const Shape& shape, const Shape& strides, int64_t offset) const {
    require("as_strided");
    check(shape.rank() == strides.rank(), "as_strided", "shape ", shape, " and strides ", strides,
          " differ in rank");
    Tensor t = *this;
    t.set_shape("as_strided", shape);
    t.strides_ = strides;
    t.offset_ = offset;
    const int64_t held = static_cast<int64_t>(buffer_->bytes() / size_of(dtype_));
    int64_t last = offset;
    for (int i = 0; i < shape.rank(); ++i) {
        check(strides[i] >= 0, "as_strided", "sizes and strides must not be negative: got ", shape, " and ",
              strides);
        if (t.numel_ > 0)
            last = checked_add(last, checked_mul(shape[i] - 1, strides[i], "as_strided"), "as_strided");
        if (shape[i] == 1) t.strides_[i] = std::min(strides[i], held);  // is never taken, and never wraps
    }
    check(offset >= 0 && offset <= held && (t.numel_ == 0 || last < held), "as_strided", "view ", shape,
          " with strides ", strides, " at offset ", offset, " leaves a buffer of ", held, " elements");
    t.forget_strides();
    return t;
}

Tensor Tensor::bitcast(DType dtype) const {
    require("bitcast");
    check(size_of(dtype) == size_of(dtype_), "bitcast", "element sizes differ: ", dtype_, " to ", dtype);
    check(dtype != DType::boolean || dtype_ == dtype, "bitcast", "bool holds 0 and 1 only: use to() for ",
          dtype_);
    Tensor t = *this;
    t.dtype_ = dtype;
    return t;
}

Tensor Tensor::bytes_as(DType dtype, const Shape& shape) const {
    require("bytes_as");
    check(dtype != DType::boolean, "bytes_as", "bool holds 0 and 1 only: use to()");
    Tensor t = *this;
    t.dtype_ = dtype;
    t.set_shape("bytes_as", shape);
    const auto size = static_cast<int64_t>(size_of(dtype));
    check(dtype_ == DType::u8 && is_contiguous() && offset_ % size == 0 && numel_ == t.numel_ * size,
          "bytes_as", "needs ", t.numel_ * size, " contiguous bytes at a multiple of ", size, ": got ", *this,
          " at ", offset_);
    t.strides_ = contiguous_strides(shape);
    t.offset_ = offset_ / size;
    return t;
}

}  // namespace demi
