#pragma once
// Contract: contiguous; x, residual, sum, dsum, dx [rows, width] of one dtype, y and dy of the same or,
// beside f32, of a 16-bit one; weight, bias, stats, dweight, dbias in f32 (f64 where x is f64).
// Undefined tensors: residual and sum (plain form), weight and bias (1 and 0), dsum (adds nothing), dx,
// dweight and dbias (not wanted; dweight and dbias come together).
//
// stats [rows, 4] holds m, c, r, f of every row: n = ((x f - m) - c) r, and r f is the derivative of n by x -
// mean. The mean is in two parts, for one number of its size may hold fewer digits than the distances from
// it; c is 0 where that is lost in rounding. f is 1, or a power of two for a row whose squares leave the
// range, or 0 (like m and c) for a constant row.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct LayernormForward {
    Tensor x, residual, weight, bias;
    Tensor sum, y, stats;  // results; sum = x + residual
    double eps;
};
struct LayernormBackward {
    Tensor x, weight, stats, dy, dsum;  // x: what was normalised
    Tensor dx, dweight, dbias;          // results; dx holds dsum too
};
struct LayernormKernels {
    void (*forward)(LayernormForward& call) = nullptr;
    void (*backward)(LayernormBackward& call) = nullptr;
};
DEMI_KERNEL_TABLES(LayernormKernels, layernorm)

}  // namespace demi
