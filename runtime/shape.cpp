#include "runtime/shape.h"

#include <algorithm>

#include "runtime/check.h"

namespace demi {

Shape::Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const int64_t> sizes) {
    check(sizes.size() <= kMaxRank, "shape", "rank must be at most ", kMaxRank, ": got ", sizes.size());
    std::copy(sizes.begin(), sizes.end(), sizes_.begin());
    rank_ = static_cast<int>(sizes.size());
}

int64_t Shape::numel() const {
    int64_t count = 1;
    bool fits = true;
    for (int64_t size : *this) {
        if (size == 0) return 0;
        fits = !__builtin_mul_overflow(count, size, &count) && fits;
    }
    check(fits, "shape", "size does not fit 64 bits: got ", *this);
    return count;
}

void Shape::no_dimension(int i) const {
    fail("shape", "dimension must be in [0, ", rank_, ") for ", *this, ": got ", i,
         "; size() of a tensor counts negative ones from the end");
}

int64_t Shape::back() const {
    check(rank_ > 0, "shape", "rank 0 has no last dimension");
    return sizes_[static_cast<size_t>(rank_ - 1)];
}

void Shape::push_back(int64_t size) { insert(rank_, size); }

void Shape::insert(int dim, int64_t size) {
    check(rank_ < kMaxRank, "shape", "rank must be at most ", kMaxRank, ": cannot extend ", *this);
    check(dim >= 0 && dim <= rank_, "shape", "cannot insert at dimension ", dim, " of ", *this);
    std::copy_backward(sizes_.begin() + dim, sizes_.begin() + rank_, sizes_.begin() + rank_ + 1);
    sizes_[static_cast<size_t>(dim)] = size;
    ++rank_;
}

void Shape::erase(int dim) {
    check(dim >= 0 && dim < rank_, "shape", "cannot remove dimension ", dim, " of ", *this);
    std::copy(sizes_.begin() + dim + 1, sizes_.begin() + rank_, sizes_.begin() + dim);
    --rank_;
}

bool Shape::operator==(const Shape& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '(';
    for (int i = 0; i < shape.rank(); ++i) out << (i > 0 ? ", " : "") << shape[i];
    return out << (shape.rank() == 1 ? ",)" : ")");
}

Shape contiguous_strides(const Shape& shape) {
    const bool empty =
        std::find(shape.begin(), shape.end(), 0) != shape.end();  // other sizes may be huge then
    Shape strides = shape;
    int64_t step = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
        strides[i] = step;
        if (!empty && i > 0) step = checked_mul(step, shape[i], "shape");
    }
    return strides;
}

Shape broadcast(const Shape& a, const Shape& b, std::string_view op) {
    const Shape& longer = a.rank() >= b.rank() ? a : b;
    const Shape& shorter = a.rank() >= b.rank() ? b : a;
    Shape out = longer;
    const int shift = longer.rank() - shorter.rank();
    for (int i = 0; i < shorter.rank(); ++i) {
        const int64_t x = longer[i + shift], y = shorter[i];
        check(x == y || x == 1 || y == 1, op, "shapes cannot be broadcast together: ", a, " and ", b);
        out[i + shift] = x == 1 ? y : x;
    }
    return out;
}

int normalize_dim(int dim, int rank, std::string_view op) {
    check(rank >= 0, op, "needs a rank of at least 0: got ", rank);
    check(dim >= -rank && dim < rank, op, "dimension must be in [", -rank, ", ", rank, "): got ", dim);
    return dim < 0 ? dim + rank : dim;
}

SliceRange normalize_range(int64_t begin, int64_t end, int dim, const Shape& shape, std::string_view op) {
    const int64_t size = shape[dim];
    const SliceRange range{begin < 0 ? begin + size : begin, end == kToEnd ? size
                                                             : end < 0     ? end + size
                                                                           : end};
    check(0 <= range.begin && range.begin <= range.end && range.end <= size, op, "range must lie in [0, ",
          size, "] of dimension ", dim, " of ", shape, ": got [", begin, ", ", end, ")");
    return range;
}

}  // namespace demi
