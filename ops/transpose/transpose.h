#pragma once
#include "autograd/variable.h"

namespace demi {

// y = x with dimensions a and b swapped, a view; dx = dy swapped back.
Variable transpose(const Variable& x, int a, int b);

}  // namespace demi
