#pragma once
// Contract: x [m, k] any strides; y, pre, dy, dx, x_pre [m, n or k] contiguous, all of x's dtype. weight [n,
// k] any strides, bias [n] contiguous, of x's dtype or f32, rounded to x's dtype as they are read; dweight
// contiguous, of any of these dtypes. A forward that rounds the weight first leaves it so in the call, for
// the backward to read.
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct LinearForward {
    Tensor x, weight, bias;  // bias may be undefined
    bool gelu = false;
    // Of the CPU only, elsewhere never set: y = gelu(x) weight^T ..., and a tensor
    // that is added to the result.
    bool gelu_of_x = false;
    Tensor residual;
    Tensor y;    // x weight^T + bias, through gelu where asked for
    Tensor pre;  // undefined, or gets the value before gelu
};

// What is undefined is not wanted.
struct LinearBackward {
    Tensor x, weight, dy;    // dy: the gradient of x weight^T + bias
    Tensor x_pre;            // where defined, x = gelu(x_pre), and dx is the gradient of x_pre
    bool gelu_of_x = false;  // of the CPU only: x is what gelu is taken of, and dx its gradient
    Tensor dx, dweight, dbias;
};

struct LinearKernels {
    void (*forward)(LinearForward& call) = nullptr;
    void (*backward)(LinearBackward& call) = nullptr;
};

DEMI_KERNEL_TABLES(LinearKernels, linear)

}  // namespace demi
