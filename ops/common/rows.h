#pragma once
// Rows of contiguous tensors for the CPU's kernels: byte pointers by row, and tiles of rows cut from the
// shape.
#include <algorithm>
#include <cmath>

#include "runtime/parallel.h"
#include "runtime/tensor.h"

namespace demi {

class RowPointer {
  public:
    RowPointer(const Tensor& tensor, int64_t width)
        : first_(tensor.defined() ? static_cast<const char*>(tensor.raw()) : nullptr),
          step_(width * static_cast<int64_t>(tensor.defined() ? size_of(tensor.dtype()) : 0)) {}
    const void* operator[](int64_t row) const { return first_ ? first_ + row * step_ : nullptr; }
    template <class T> const T* at(int64_t row) const { return static_cast<const T*>((*this)[row]); }

  private:
    const char* first_;
    int64_t step_;
};

// The same for output; an undefined tensor gives null pointers.
class MutableRowPointer {
  public:
    MutableRowPointer(Tensor& tensor, int64_t width)
        : first_(tensor.defined() ? static_cast<char*>(tensor.mutable_raw()) : nullptr),
          step_(width * static_cast<int64_t>(tensor.defined() ? size_of(tensor.dtype()) : 0)) {}
    void* operator[](int64_t row) const { return first_ ? first_ + row * step_ : nullptr; }
    template <class T> T* at(int64_t row) const { return static_cast<T*>((*this)[row]); }

  private:
    char* first_;
    int64_t step_;
};

// For rows of f64 whose squares or products leave the range: the e for which 2^e brings the largest |x| near
// 2^target; at most 1000 either way, 0 where there is none or not a finite one.
inline int balance(const double* x, int64_t width, int target) {
    double largest = 0;
    for (int64_t i = 0; i < width; ++i) largest = std::max(largest, std::fabs(x[i]));
    if (largest == 0 || !std::isfinite(largest)) return 0;
    return std::clamp(target - std::ilogb(largest), -1000, 1000);
}

// Rows in one tile: about 32 Ki elements.
inline int64_t rows_per_tile(int64_t width) {
    return std::max<int64_t>(1, 32768 / std::max<int64_t>(width, 1));
}

// fn(first row, number of rows) for all tiles.
template <class F> void parallel_rows(int64_t rows, int64_t width, F&& fn) {
    parallel_ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
}

}  // namespace demi
