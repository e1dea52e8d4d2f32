#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous, at least one element: x, residual, sum, dsum and dx [rows, width] of one dtype, y and dy of the same or,
// beside f32, of a 16-bit one; weight, bias, dweight and dbias [width] and stats in f32 (f64 for f64).
// Absent: residual and sum (x is normalised as it is), weight and bias (1 and 0), dsum (adds nothing), dx, dweight and
// dbias (not wanted; the last two come together).
//
// stats [rows, 4] holds m, c, r, f of every row: n = ((x f - m) - c) r, and r f is the derivative of n by x -
// mean. The mean is in two parts, for one number of its size may hold fewer digits than the distances from
// it; c is 0 where that is lost in rounding. f is 1, or a power of two for a row whose squares leave the
// range, or 0 (like m and c) for a constant row.
struct LayernormForward {
    ConstMem x, residual, weight, bias;
    Mem sum, y, stats;  // sum = x + residual
    int64_t rows, width;
    double eps;
};
struct LayernormBackward {
    ConstMem x, weight, stats, dy, dsum;  // x: what was normalised
    Mem dx, dweight, dbias;               // dx holds dsum too
    int64_t rows, width;
};
using LayernormKernels = ForwardBackward<LayernormForward, LayernormBackward>;
DEMI_BACKENDS(LayernormKernels, layernorm)

}  // namespace demi
