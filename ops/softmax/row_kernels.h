#pragma once
// What softmax and log_softmax share. Contract: contiguous, one shape and dtype, at least one element; the
// last dimension is the row. Backward starts from y.
#include "runtime/tensor.h"

namespace demi {

struct SoftmaxKernels {
    void (*forward)(const Tensor& x, Tensor& y) = nullptr;
    void (*backward)(const Tensor& y, const Tensor& dy, Tensor& dx) = nullptr;
};

}  // namespace demi
