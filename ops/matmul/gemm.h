#pragma once
// The product behind matmul and linear, on raw memory of the CPU:
//     C[m, n] = epilogue(sum over k of A[m, k] * B[k, n])
// with sums in f32, any strides of A and B, C with unit column stride. No dimension may be negative; with k =
// 0 the sums are zero. The bits of the result depend on shapes, strides and the instruction set, never on the
// number of threads or the size of caches.
#include "ops/matmul/gemm_isa.h"
#include "runtime/tensor.h"

namespace demi {

struct GemmOperand {
    const void* data = nullptr;
    GemmType type = GemmType::f32;
    int64_t row = 0, col = 0;                // element (i, j) at data[i * row + j * col], in elements
    int64_t batch = 0;                       // from one matrix of a batch to the next, in elements
    const int64_t* batch_offsets = nullptr;  // or: where each matrix of the batch starts
};

struct GemmCall {
    int64_t m = 0, n = 0, k = 0;
    int64_t batch = 1;
    GemmOperand a, b;
    const float* b_packed =
        nullptr;  // or null: the one B of all matrices as gemm_pack_b() left it; b is not read then

    void* c = nullptr;
    GemmType c_type = GemmType::f32;
    int64_t ldc = 0;
    int64_t c_batch = 0;

    // One of: nothing, bias, residual, bias + residual, [bias +] gelu [+ save_pre], gelu_grad, accumulate.
    // Batches of more than one matrix: nothing or accumulate.
    int epilogue = kGemmPlain;
    const void* bias = nullptr;  // n of them, any type, contiguous
    GemmType bias_type = GemmType::f32;
    const void* residual = nullptr;  // residual and pre are stored in C's type
    int64_t ld_residual = 0;
    void* pre = nullptr;  // written with kGemmSavePre, read with kGemmGeluGrad
    int64_t ld_pre = 0;

    // Or null: row_sums[i] = sum over k of A[i, k], for a.row = 1 (A is the transpose of a matrix with
    // contiguous rows). With A = transposed gradient of a linear layer this is the gradient of its bias,
    // taken while A is packed.
    float* row_sums = nullptr;

    int64_t l2_bytes = 0;  // the cache that tiles are cut for; 0: this processor's. Changes no bit
};

void gemm(const GemmCall& call);

// B [k, n] in the order in which products read it, for several of them: gemm_packed_floats() floats, aligned to 64 bytes.
int64_t gemm_packed_floats(int64_t k, int64_t n);
void gemm_pack_b(const GemmOperand& b, int64_t k, int64_t n, float* out);

// ---- Tensors as operands -----------------------------------------------------------------------------
// f16, bf16 or f32.
GemmType gemm_type(DType dtype);
// How `stored` enters a product that computes in `compute`: f32 is rounded to a 16-bit compute dtype while it is packed.
GemmType gemm_type(DType stored, DType compute);
// The last two dimensions of x, or of its transpose.
GemmOperand gemm_operand(const Tensor& x, DType compute);
GemmOperand gemm_transposed(const Tensor& x, DType compute);

// ---- f64: plain loops, for gradient checks and references ---------------------------------------------
struct StridedF64 {
    const double* data = nullptr;
    int64_t row = 0, col = 0;
};
// C[m, n] = sum over k of A[m, k] * B[k, n], in the order of k; C has contiguous rows, ldc elements apart.
void gemm_f64(int64_t m, int64_t n, int64_t k, StridedF64 a, StridedF64 b, double* c, int64_t ldc);
StridedF64 f64_operand(const Tensor& x);
StridedF64 f64_transposed(const Tensor& x);

}  // namespace demi
