#pragma once
// Contract: contiguous; x, residual, sum, dsum, dx [rows, width] of one dtype, y and dy of the same or,
// beside f32, of a 16-bit one; weight, bias, mean, rstd, dweight, dbias in f32 (f64 where x is f64).
// Undefined tensors: residual and sum (plain form), weight and bias (1 and 0), dsum (adds nothing), dx,
// dweight and dbias (not wanted; dweight and dbias come together).
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct LayernormForward {
    Tensor x, residual, weight, bias;
    Tensor sum, y, mean, rstd;  // results; sum = x + residual
    double eps;
};
struct LayernormBackward {
    Tensor x, weight, mean, rstd, dy, dsum;  // x: what was normalised
    Tensor dx, dweight, dbias;               // results; dx holds dsum too
};
struct LayernormKernels {
    void (*forward)(LayernormForward& call) = nullptr;
    void (*backward)(LayernormBackward& call) = nullptr;
};
DEMI_KERNEL_TABLES(LayernormKernels, layernorm)

}  // namespace demi
