#pragma once
// The product behind matmul, linear and mlp:
//     C[m, n] = epilogue(sum over k of A[m, k] * B[k, n])
// Sums in f32 (f64 for f64), one rounding. No dimension may be negative; with k = 0 the sums are zero. On the CPU the bits
// depend on shapes, strides and the instruction set, never on the number of threads or the size of caches.
#include "runtime/backends.h"
#include "runtime/strided.h"

namespace demi {

struct GemmOperand {
    ConstMem mem;
    int64_t row = 0, col = 0;  // element (i, j) at [i * row + j * col]; on a GPU one of them is 1
    bool gelu = false;         // of the CPU: gelu of what is stored, rounded to the stored format
};

struct GemmCall {
    int64_t m = 0, n = 0, k = 0;
    GemmOperand a, b;
    // The matrices of A and B where there are several, in the order of those of C, which follow one another.
    Strided<2> batch{1, 1, {1}, {}};
    DType dtype = DType::f32;  // of the CPU: f32 beside a 16-bit dtype is rounded to it as it is read
    // Of the CPU, or null: the one B of all matrices as pack_b() left it; b is not read.
    const float* b_packed = nullptr;
    Mem c;
    int64_t ldc = 0;

    // The epilogue, in this order, each absent or present. save_pre, gelu_grad_of and residual lie like C and have its dtype.
    // On the CPU one of: [bias] [gelu [save_pre]] of no residual, [bias] residual, gelu_grad_of, or row_sums beside a plain
    // product. A GPU has bias or row_sums, of C's dtype. Batches: nothing.
    ConstMem bias;          // + bias[n]
    bool gelu = false;      // gelu of it, rounded before
    Mem save_pre;           // gets the value before gelu
    ConstMem gelu_grad_of;  // * gelu'(gelu_grad_of[m, n])
    ConstMem residual;      // + residual[m, n]
    // row_sums[i] = sum over k of A[i, k], for a.row = 1 (the transpose of contiguous rows). With A = transposed gradient of
    // a linear layer this is the gradient of its bias, taken while A is packed.
    Mem row_sums;

    int64_t l2_bytes = 0;  // the cache that the CPU's tiles are cut for; 0: this processor's
};

// A layer's weight and bias from f32 to a 16-bit dtype, contiguous; bias may be absent.
struct NarrowLayer {
    ConstMem weight, bias;
    Mem weight_out, bias_out;
    int64_t weights, biases;
};

// Products in bf16 by the tiles of AMX: 16 rows of A, each row of it `words` pairs of bf16 that are neighbours along k, in
// words of 32 bits; B [words][48] such pairs, k downwards; words in whole tiles of 16. Strides in words. Begun and ended on
// the thread that multiplies. Of the processor; tests put an emulation in its place.
constexpr int kTileRows = 16, kTileWords = 16, kTileCols = 48;
struct GemmTileUnit {
    void (*begin)();
    void (*end)();
    // dst[16][48] = (add, or 0) + A B
    void (*multiply)(int words, const float* a, int64_t a_row, const float* b, const float* add,
                     int64_t add_row, float* dst, int64_t dst_row);
};
extern GemmTileUnit gemm_tile_unit;

struct GemmKernels {
    void (*multiply)(const GemmCall& call, Queue queue);
    // Of the CPU: B [k, n] in the order in which products read it, for several of them: gemm_packed_floats() floats,
    // aligned to 64 bytes.
    void (*pack_b)(const GemmOperand& b, DType dtype, int64_t k, int64_t n, float* out);
    // Of the GPU: in one launch.
    void (*narrow)(const NarrowLayer& call, Queue queue);
};
DEMI_BACKENDS(GemmKernels, gemm)

// Enough for the panels of every instruction set: 8, 16 or 48 columns wide.
constexpr int64_t gemm_packed_floats(int64_t k, int64_t n) { return (n + 47) / 48 * 48 * k + 16; }

}  // namespace demi
