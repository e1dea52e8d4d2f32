#pragma once
// Internal: lists of indices, checked.
//
// To check a list that lies on a GPU it is copied back, which waits for the device. So each thread remembers the last 64 lists
// that were found good: by buffer, place, length and version, which every write to the buffer raises. A list that it remembers
// is not copied again.
#include "runtime/tensor.h"

namespace demi {

// A list of row numbers as contiguous i64: rank 1, i64 or i32, every value in [0, rows). The error names the operand, the
// position, the value and `rows`.
Tensor checked_rows(std::string_view op, std::string_view operand, const Tensor& index, int64_t rows);

// Indices of any shape as contiguous i64 on `device`: i64 or i32, every value in [0, size). The error names the value, its
// position and the size.
Tensor checked_index(std::string_view op, const Tensor& index, int64_t size, Device device);

// Says that a list on a GPU holds row numbers below `rows`, until it is written to: it is remembered as if it had been checked.
void trust_rows(const Tensor& list, int64_t rows);

// How often the most frequent row is named; 1 for an empty list.
int64_t most_uses(const int64_t* index, int64_t count, int64_t rows);

}  // namespace demi
