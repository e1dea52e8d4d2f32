#pragma once
// Tensors as operands of gemm().
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_f64.h"
#include "runtime/tensor.h"

namespace demi {

// f16, bf16 or f32.
GemmType gemm_type(DType dtype);

// How `stored` enters a product that computes in `compute`: f32 is rounded to a 16-bit compute dtype while it
// is packed.
GemmType gemm_type(DType stored, DType compute);

// The last two dimensions of x, or of its transpose.
GemmOperand gemm_operand(const Tensor& x, DType compute);
GemmOperand gemm_transposed(const Tensor& x, DType compute);
StridedF64 f64_operand(const Tensor& x);
StridedF64 f64_transposed(const Tensor& x);

}  // namespace demi
