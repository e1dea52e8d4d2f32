#pragma once
// What the product's kernels (gemm_isa.cpp, compiled once for each instruction set) and its driver (gemm.cpp)
// agree on. Plain data only.
#include <cstddef>
#include <cstdint>

namespace demi {

// How an operand is stored. f32_as_f16 and f32_as_bf16 are floats that are rounded to that format while they
// are packed; gelu_of_... means gelu of what is stored, rounded to the stored format.
enum class GemmType { f32, f16, bf16, f32_as_f16, f32_as_bf16, gelu_of_f32, gelu_of_f16, gelu_of_bf16 };

// Bytes of a stored element. Always inline: the linker could keep a copy that was compiled for wide registers.
[[gnu::always_inline]] inline int64_t stored_size(GemmType type) {
    switch (type) {
    case GemmType::f16:
    case GemmType::bf16:
    case GemmType::gelu_of_f16:
    case GemmType::gelu_of_bf16: return 2;
    default: return 4;
    }
}

// What happens to a sum before it is stored; any combination of bits.
enum GemmEpilogueBits : int {
    kGemmPlain = 0,
    kGemmBias = 1,         // + bias[n]
    kGemmResidual = 2,     // + residual[m, n]
    kGemmGelu = 4,         // gelu of it, after the bias and before the residual
    kGemmSavePre = 8,      // the value before gelu goes to pre[m, n]
    kGemmGeluGrad = 16,    // * gelu'(pre[m, n])
    kGemmAccumulate = 32,  // + what C held
};

// One tile of C with everything that its computation needs. Pointers stand at the tile's first row and column.
struct GemmTile {
    int64_t rows, cols, depth;

    const void* a;  // element (m, k) at a[m * a_row + k * a_col]
    GemmType a_type;
    int64_t a_row, a_col;

    const float* b_packed;  // panels of nr columns, [depth][nr] each; or null: pack b for this tile alone
    const void* b;          // element (k, n) at b[k * b_row + n * b_col]
    GemmType b_type;
    int64_t b_row, b_col;
    const void* next_b;  // or null: b of the tile that this thread is likely to compute next

    void* c;  // element (m, n) at c[m * ldc + n]; c_type is f32, f16 or bf16
    GemmType c_type;
    int64_t ldc;

    int epilogue;
    const float* bias;     // padded to whole panels
    const void* residual;  // these two are stored like C
    int64_t ld_residual;
    void* pre;
    int64_t ld_pre;
    float* row_sums;  // or null: row_sums[m] = sum over k of A[m, k]; needs a_row = 1

    float* scratch;  // scratch_floats() of them, aligned to 64 bytes
};

struct GemmIsa {
    int mr, nr;  // the register tile
    // Floats of scratch that run_tile needs.
    int64_t (*scratch_floats)(const GemmTile& tile);
    // Packs the columns [n0, n0 + cols) of b over k in [0, depth) into panels of nr columns, zero padded.
    // out: aligned to 64 bytes.
    void (*pack_b)(const void* b, GemmType type, int64_t b_row, int64_t b_col, int64_t depth, int64_t cols,
                   float* out);
    void (*run_tile)(const GemmTile& tile);
};

// The table for this processor.
const GemmIsa& gemm_isa();

}  // namespace demi
