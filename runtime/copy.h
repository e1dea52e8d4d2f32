#pragma once
// What every layer does with memory, on any device and for any strides.
#include "runtime/tensor.h"

namespace demi {

// dst = src, element by element, converted to dst's dtype (float to float rounds to nearest even;
// float to integer truncates and saturates, NaN gives 0; integers wrap; anything to bool is x != 0).
// Same shape; devices may differ; the two may overlap. An expanded dst, whose elements share memory,
// is refused here and below.
void copy(Tensor dst, const Tensor& src);

void fill(Tensor dst, double value);

// dst += src for floats of any dtype: added in f32 (f64 where one side is f64), rounded once to dst's dtype.
void accumulate(Tensor dst, const Tensor& src);

// False on any NaN or infinity. Integers are always finite, and so is an undefined tensor.
bool all_finite(const Tensor& tensor);

}  // namespace demi
