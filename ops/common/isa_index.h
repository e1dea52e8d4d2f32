#pragma once
// Tables of instruction-set kernels hold one function for each of f16, bf16 and f32, in this order.
#include "runtime/dtype.h"

namespace demi {

static_assert(static_cast<int>(DType::f16) == 0 && static_cast<int>(DType::bf16) == 1 &&
              static_cast<int>(DType::f32) == 2);

inline size_t isa_index(DType dtype, std::string_view op) {
    check(dtype == DType::f32 || is_half(dtype), op, "needs f16, bf16 or f32 here: got ", name(dtype));
    return static_cast<size_t>(dtype);
}

}  // namespace demi
