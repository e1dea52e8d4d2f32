#pragma once
// Internal: element-wise functions on Tensors without a graph, and what the wrappers of element-wise ops share.
#include "ops/elementwise/elementwise_kernels.h"
#include "ops/op.h"

namespace demi {

// A new tensor fn(operands...) of `dtype`; operands are broadcast together. Throws Error(op) where they do not fit or live
// on different devices.
Tensor elementwise(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands, DType dtype,
                   double p = 0, double q = 0);

// The same into `out`, for contiguous tensors of one shape and dtype with elements; out may be one of them.
void elementwise_into(Tensor& out, ElementFn fn, const std::vector<Tensor>& operands, double p = 0,
                      double q = 0);

// An operand of a choice or comparison in `dtype`; rounds integers to a 16-bit float here, once.
Tensor promoted(const Tensor& operand, DType dtype);

// The wrapper of an op of one operand: y = fn(x), dx = grad_fn(dy, x) or grad_fn(dy, y).
enum class Saves { x, y };
Variable unary(const char* name, ElementFn fn, ElementFn grad_fn, const Variable& x, Saves saves,
               double p = 0, double q = 0);

// Records y = fn(a, b): grad(i, dy, shape, dtype) is the gradient of operand i, summed to its shape.
template <class Grad>
Variable record_two(const Op& op, const Variable& a, const Variable& b, Tensor y, Grad grad) {
    return op.record(
        {a, b}, std::move(y),
        [grad, sa = a.shape(), sb = b.shape(), ta = a.dtype(),
         tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
            return {needs[0] ? grad(0, dy, sa, ta) : Tensor(), needs[1] ? grad(1, dy, sb, tb) : Tensor()};
        });
}

// x's value, which must be a float.
const Tensor& float_value(std::string_view op, const Variable& x);

// The dtype of an op of two operands: promote(a, b), which must be a float.
DType result_dtype(std::string_view op, const Variable& a, const Variable& b);

}  // namespace demi
