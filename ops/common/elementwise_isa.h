#pragma once
// Internal: the functions of element_fn.h on contiguous rows, one table per instruction set.
#include "ops/common/element_fn.h"

namespace demi {

template <class T> using ElementRow = void (*)(T* out, const T* const* operands, int64_t count, T p, T q);

struct ElementwiseIsa {
    ElementRow<float> f32[kElementFns];
    ElementRow<double> f64[kElementFns];
    ElementRow<int64_t> i64[kElementFns];  // null but for on_integers()
};

}  // namespace demi
