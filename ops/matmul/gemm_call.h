#pragma once
// Internal: products of Tensors on their device.
#include "ops/matmul/gemm.h"
#include "runtime/tensor.h"

namespace demi {

// The last two dimensions of x.
GemmOperand gemm_operand(const Tensor& x);
// x, or on a GPU a copy where neither rows nor columns are contiguous.
Tensor gemm_ready(const Tensor& x);

// out = a b with no epilogue, of one dtype (on the CPU b may be f32 beside a 16-bit a), the same leading sizes, as
// gemm_ready() gives them; out contiguous, of that dtype or f32, or undefined: no columns. All must outlive the call.
GemmCall gemm_call(const Tensor& a, const Tensor& b, Tensor& out);

void multiply(const GemmCall& call, Device device);

}  // namespace demi
