#include "ops/matmul/gemm_tensor.h"

namespace demi {

GemmType gemm_type(DType dtype) {
    switch (dtype) {
    case DType::f32: return GemmType::f32;
    case DType::f16: return GemmType::f16;
    case DType::bf16: return GemmType::bf16;
    default: fail("gemm", "needs f16, bf16 or f32: got ", dtype);
    }
}

GemmType gemm_type(DType stored, DType compute) {
    if (stored == DType::f32 && compute == DType::f16) return GemmType::f32_as_f16;
    if (stored == DType::f32 && compute == DType::bf16) return GemmType::f32_as_bf16;
    return gemm_type(stored);
}

GemmOperand gemm_operand(const Tensor& x, DType compute) {
    GemmOperand o;
    o.data = x.raw();
    o.type = gemm_type(x.dtype(), compute);
    o.row = x.strides()[x.rank() - 2];
    o.col = x.strides()[x.rank() - 1];
    return o;
}

GemmOperand gemm_transposed(const Tensor& x, DType compute) {
    return gemm_operand(x.transpose(-1, -2), compute);
}

StridedF64 f64_operand(const Tensor& x) {
    return {x.data<double>(), x.strides()[x.rank() - 2], x.strides()[x.rank() - 1]};
}

StridedF64 f64_transposed(const Tensor& x) { return f64_operand(x.transpose(-1, -2)); }

}  // namespace demi
