#pragma once
// Internal: launches of the element-wise engine. Operand 0 of a walk is the output.
#include "ops/common/element_fn.h"
#include "runtime/cuda/strided.h"

namespace demi::gpu_kernels {

struct ElementwiseCall {
    ElementFn fn;
    int operands;    // 1 to 3
    DType types[4];  // of the output and the operands
    DType compute;   // f32, f64 or i64
    void* out;
    const void* in[3];
    double p, q;
    gpu::Strided<4> walk;
};

void elementwise(const ElementwiseCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
