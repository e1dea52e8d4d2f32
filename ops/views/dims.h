#pragma once
// Dimensions named by a caller, negative ones counted from the end.
#include <initializer_list>
#include <string_view>
#include <vector>

#include "runtime/shape.h"

namespace demi {

// One dimension (sum(x, 0)) or several (sum(x, {0, -1})); where an op reduces over dimensions, {} means all.
struct Dims : std::vector<int> {
    Dims() = default;
    Dims(int dim) : Dims({dim}) {}
    Dims(bool) = delete;  // sum(x, true): keepdim comes after the dimensions
    Dims(std::initializer_list<int> dims) : std::vector<int>(dims) {}
    Dims(std::vector<int> dims) : std::vector<int>(std::move(dims)) {}
};

// `shape` with 1 in every dimension of `dims`. Throws Error(op) for one out of range or named twice.
Shape keep_reduced(std::string_view op, const Shape& shape, const Dims& dims);

// `shape` without the dimensions of `dims` (checked by keep_reduced).
Shape drop_reduced(const Shape& shape, const Dims& dims);

}  // namespace demi
