#pragma once
#include "autograd/variable.h"

namespace demi {

struct MatmulOptions {
    bool transpose_a = false, transpose_b = false;  // of the last two dimensions
};

// The matrix product y = a b, of the last two dimensions; the leading ones are broadcast.
//   a [..., m, k], b [..., k, n] -> y [..., m, n]. A vector on the left is a row, on the right a column, and
//   its dimension disappears from the result. da = dy b^T, db = a^T dy, summed over broadcast dimensions.
// a and b have one dtype (f16, bf16, f32, f64) and any strides; sums in f32 (f64 for f64), one rounding to
// the dtype. Throws Error where sizes, dtypes or devices do not fit.
Variable matmul(const Variable& a, const Variable& b, MatmulOptions options = {});

}  // namespace demi
