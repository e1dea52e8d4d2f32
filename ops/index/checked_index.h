#pragma once
// Internal: indices as kernels want them.
#include "runtime/tensor.h"

namespace demi {

// `index` as contiguous i64 on `device`. Throws Error(op) where it is not i32 or i64, or an index lies
// outside of [0, size): the message names the index, its position and the size.
Tensor checked_index(std::string_view op, const Tensor& index, int64_t size, Device device);

}  // namespace demi
