#pragma once
// Internal: lists of row numbers, as index_select_cat and scaled_index_add take them.
#include <string_view>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

// The list as contiguous i64 after checking it: rank 1, i64 or i32, every value in [0, rows). The error names
// the operand, the position, the value and `rows`.
Tensor checked_rows(std::string_view op, std::string_view operand, const Tensor& index, int64_t rows);

// Says that the list holds row numbers below `rows`, as long as nobody writes to it: checked_rows() then
// reads nothing back from a GPU. It remembers what it has checked itself.
void trust_rows(const Tensor& list, int64_t rows);
bool rows_trusted(const Tensor& list, int64_t rows);

// How often the most frequent row is named; 1 for an empty list.
int64_t most_uses(const int64_t* index, int64_t count, int64_t rows);

}  // namespace demi
