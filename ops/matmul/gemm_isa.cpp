#include "ops/matmul/gemm_isa.h"

#include "ops/matmul/gemm_micro.h"

namespace demi::DEMI_ISA_NS {

extern const GemmIsa gemm_isa;

namespace {

// From one panel in scratch to the next: not a multiple of 4096 bytes, so that they do not collide in the
// cache.
int64_t panel_stride(int64_t depth, int width) { return depth * width + 16; }

// Scratch is [A block][B panels, unless packed before][sums of the tile][row sums].
struct Scratch {
    int64_t a, b, c, sums;
};

bool sums_in_c(const GemmTile& t) {
    return t.c_type == GemmType::f32 && (t.epilogue == kGemmPlain || t.epilogue == kGemmAccumulate);
}

int64_t panels_of(int64_t cols) { return (cols + kNr - 1) / kNr; }

Scratch layout(const GemmTile& t) {
    const int64_t rows = (t.rows + kMr - 1) / kMr;
    const int64_t depth = t.depth < kMaxChunk ? t.depth : kMaxChunk;
    Scratch s;
    // Enough for both layouts of A; the last vector of a row may reach beyond it.
    const int64_t panels = (t.rows + kPanelRows - 1) / kPanelRows;
    const int64_t by_rows = kMr * kARowStride;
    const int64_t by_panels = panels * panel_stride(kMaxChunk, kLanes);
    s.a = (by_rows > by_panels ? by_rows : by_panels) + 16;
    s.b = t.b_packed == nullptr ? panels_of(t.cols) * panel_stride(depth, kNr) : 0;
    s.c = t.depth > kMaxChunk && !sums_in_c(t) ? rows * kMr * panels_of(t.cols) * kNr : 0;
    s.sums = t.row_sums != nullptr ? panels * kLanes : 0;
    s.a = (s.a + 15) / 16 * 16;
    s.b = (s.b + 15) / 16 * 16;
    s.c = (s.c + 15) / 16 * 16;
    return s;
}

int64_t scratch_floats(const GemmTile& t) {
    const Scratch s = layout(t);
    return s.a + s.b + s.c + s.sums;
}

void pack_b(const void* b, GemmType type, int64_t b_row, int64_t b_col, int64_t depth, int64_t cols,
            float* out) {
    with_type(type, b, [&](auto* p) { pack_b_panels<kNr>(p, b_row, b_col, depth, cols, out, depth * kNr); });
}

Finish finish_of(const GemmTile& t) {
    switch (t.c_type) {
    case GemmType::f16: return finish_for<f16_t>(t.epilogue);
    case GemmType::bf16: return finish_for<bf16_t>(t.epilogue);
    default: return finish_for<float>(t.epilogue);
    }
}

// Asks for what the epilogue of a register tile reads, before the sums are taken.
template <class T> void prefetch_rows(const void* p, int64_t ld, int64_t m, int64_t n, int rows) {
    const T* row = static_cast<const T*>(p) + m * ld + n;
    for (int i = 0; i < rows; ++i, row += ld) {
#pragma GCC unroll 4
        for (int j = 0; j < kNr; j += static_cast<int>(64 / sizeof(T))) __builtin_prefetch(row + j);
        __builtin_prefetch(row + kNr - 1);
    }
}

template <class T> void prefetch_tile(const GemmTile& t, int64_t m, int64_t n, int rows) {
    if (t.epilogue & kGemmResidual) prefetch_rows<T>(t.residual, t.ld_residual, m, n, rows);
    if (t.epilogue & kGemmGeluGrad) prefetch_rows<T>(t.pre, t.ld_pre, m, n, rows);
}

void run_tile(const GemmTile& t) {
    const Scratch size = layout(t);
    float* const a_block = t.scratch;
    float* const b_block = a_block + size.a;
    float* const c_block = b_block + size.b;
    float* const sums = c_block + size.c;
    const int64_t ld_block = panels_of(t.cols) * kNr;
    for (int64_t i = 0; i < size.sums; ++i) sums[i] = 0.f;

    const bool a_panels = t.a_row == 1 && (t.a_col != 1 || t.row_sums != nullptr);
    const bool in_c = sums_in_c(t);
    const Finish finish = finish_of(t);
    const Finish add_to_c = finish_for<float>(kGemmAccumulate);
    const Finish put_in_c = finish_for<float>(kGemmPlain);
    alignas(64) float tile[kMr * kNr];
    const char* const here = reinterpret_cast<const char*>(tile);
    const Ahead nothing = {here, here + 64, 0, -64};

    const int64_t chunks = t.depth <= kMaxChunk ? 1 : (t.depth + kMaxChunk - 1) / kMaxChunk;
    const int64_t step = (t.depth + chunks - 1) / chunks;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t k0 = chunk * step;
        const int depth = static_cast<int>(t.depth - k0 < step ? t.depth - k0 : step);
        if (a_panels && depth > 0)
            with_type(t.a_type, t.a, [&](auto* p) {
                pack_a_panels<kPanelRows>(p + k0 * t.a_col, t.a_col, t.rows, depth, a_block,
                                          panel_stride(depth, kLanes), t.row_sums ? sums : nullptr);
            });
        if (t.b_packed == nullptr && depth > 0) {
            with_type(t.b_type, t.b, [&](auto* p) {
                pack_b_panels<kNr>(p + k0 * t.b_row, t.b_row, t.b_col, depth, t.cols, b_block,
                                   panel_stride(depth, kNr));
            });
        }

        const bool last = chunk + 1 == chunks;
        const bool add_c = in_c && (chunk > 0 || t.epilogue == kGemmAccumulate);
        // A few rows of A stay in the first-level cache while the panels of B stream by.
        for (int64_t m = 0; m < t.rows; m += kMr) {
            const int rows = static_cast<int>(t.rows - m < kMr ? t.rows - m : kMr);
            const float* a =
                a_panels ? a_block + m / kPanelRows * panel_stride(depth, kLanes) + m % kPanelRows : a_block;
            AheadBlock next_a;  // the rows of A after these are asked for meanwhile
            if (!a_panels && depth > 0) {
                with_type(t.a_type, t.a, [&](auto* p) {
                    copy_a_rows(p + m * t.a_row + k0 * t.a_col, t.a_row, t.a_col, rows, depth, a_block,
                                kARowStride);
                });
                if (t.a_col == 1) {
                    const int64_t bytes = stored_size(t.a_type), left = t.rows - m - rows;
                    next_a = {static_cast<const char*>(t.a) + ((m + rows) * t.a_row + k0) * bytes,
                              t.a_row * bytes, left < kMr ? left : kMr, depth * bytes};
                }
            }
            const Micro multiply = a_panels ? micro_for<1, kLanes>(rows) : micro_for<kARowStride, 1>(rows);
            for (int64_t n = 0; n < t.cols; n += kNr) {
                const int cols = static_cast<int>(t.cols - n < kNr ? t.cols - n : kNr);
                const float* b = t.b_packed ? t.b_packed + n * t.depth + k0 * kNr
                                            : b_block + n / kNr * panel_stride(depth, kNr);
                float* block = c_block + m * ld_block + n;
                const Ahead run = next_a.done() ? nothing : next_a.next(depth / kAheadStep);
                if (in_c && cols == kNr) {
                    float* c = static_cast<float*>(t.c) + m * t.ldc + n;
                    multiply(depth, a, b, add_c ? c : nullptr, t.ldc, c, t.ldc, run);
                } else if (in_c) {
                    multiply(depth, a, b, nullptr, 0, tile, kNr, run);
                    (add_c ? add_to_c : put_in_c)(tile, m, n, rows, cols, t);
                } else if (!last) {
                    multiply(depth, a, b, chunk > 0 ? block : nullptr, ld_block, block, ld_block, run);
                } else {
                    t.c_type == GemmType::f32 ? prefetch_tile<float>(t, m, n, rows)
                                              : prefetch_tile<f16_t>(t, m, n, rows);
                    multiply(depth, a, b, chunk > 0 ? block : nullptr, ld_block, tile, kNr, run);
                    finish(tile, m, n, rows, cols, t);
                }
            }
        }
    }
    if (t.row_sums == nullptr) return;
    for (int64_t m = 0; m < t.rows; ++m) t.row_sums[m] = sums[m / kPanelRows * kLanes + m % kPanelRows];
}

}  // namespace

const GemmIsa gemm_isa = {kMr, kNr, scratch_floats, pack_b, run_tile};

}  // namespace demi::DEMI_ISA_NS
