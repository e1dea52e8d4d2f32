#pragma once
// Internal: what the element-wise activations (gelu, silu, relu) share. Kernel contract: contiguous tensors
// of one shape and dtype.
#include "runtime/tensor.h"

namespace demi {

struct ActivationKernels {
    void (*forward)(const Tensor& x, Tensor& y) = nullptr;
    void (*backward)(const Tensor& x, const Tensor& dy, Tensor& dx) = nullptr;
};

struct ActivationIsa;
// The CPU's loops: 16-bit and 32-bit floats by the table, f64 element by element.
void activation_forward(const ActivationIsa& isa, double (*value)(double), const Tensor& x, Tensor& y);
void activation_backward(const ActivationIsa& isa, double (*grad)(double x, double dy), const Tensor& x,
                         const Tensor& dy, Tensor& dx);

}  // namespace demi
