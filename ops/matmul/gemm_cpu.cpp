// The product's driver: cuts C into tiles and runs them on all threads. Compiled once for each instruction set like the
// tiles, whose sizes and functions it then knows: a table of tiles beside the table of products would say everything twice.
#include "ops/kernel_cpu.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_tile.h"
#include "runtime/host_memory.h"
#include "runtime/isa.h"

namespace demi::DEMI_BACKEND {
namespace {

// B is packed once, before, when there are more rows of C than this, unless A is a transpose with more
// columns than rows (the gradient of a weight); otherwise every tile packs its own part of it.
constexpr int64_t kLocalRows = 384;
constexpr int64_t kSmallTile = 1 << 20;  // multiplications in a tile that is not worth splitting

int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// How elements of `stored` enter a product that computes in `dtype`.
GemmType type_of(DType stored, DType dtype, bool gelu = false) {
    if (stored == DType::f16) return gelu ? GemmType::gelu_of_f16 : GemmType::f16;
    if (stored == DType::bf16) return gelu ? GemmType::gelu_of_bf16 : GemmType::bf16;
    if (gelu) return GemmType::gelu_of_f32;
    return dtype == DType::f16    ? GemmType::f32_as_f16
           : dtype == DType::bf16 ? GemmType::f32_as_bf16
                                  : GemmType::f32;
}

Stored stored(const GemmOperand& x, DType dtype) {
    return {x.mem.data, type_of(x.mem.dtype, dtype, x.gelu), x.row, x.col};
}

// Of products in bf16, where the processor multiplies it; short depths would be padding for the most part.
Arithmetic arithmetic_of(const GemmOperand& b, DType dtype, int64_t k) {
    if (dtype != DType::bf16 || b.mem.dtype == DType::f16 || k < 2 * kTileWords) return Arithmetic::floats;
    return cpu_isa() >= Isa::v4_amx    ? Arithmetic::tiles
           : cpu_isa() >= Isa::v4_bf16 ? Arithmetic::pairs
                                       : Arithmetic::floats;
}

int epilogue_of(const GemmCall& g) {
    return (g.bias.data ? kGemmBias : 0) | (g.residual.data ? kGemmResidual : 0) | (g.gelu ? kGemmGelu : 0) |
           (g.save_pre.data ? kGemmSavePre : 0) | (g.gelu_grad_of.data ? kGemmGeluGrad : 0);
}

struct TileSize {
    int64_t rows, cols;
};

// What tiles may grow to, by the size of the second-level cache: of B that was packed before, a chunk of the depth stays
// there while rows of A pass it (384 columns of 384: 590 kB), with the unfinished sums of C beside it; or all rows of A that
// a tile has copied (264: 422 kB), while panels of B pass. Taller tiles pack B fewer times.
struct CacheClass {
    int64_t bytes;  // at least
    int64_t shared_rows, shared_cols, copied_rows;
};
constexpr CacheClass kCacheClasses[] = {
    {2 << 20, 136, 384, 384}, {1 << 20, 136, 384, 264}, {512 << 10, 64, 192, 128}, {0, 64, 96, 64}};

CacheClass cache_class(int64_t bytes) {
    const CacheClass* c = kCacheClasses;
    while (c->bytes > bytes) ++c;
    return *c;
}

// Where C is cut changes no bit of it: every element is a sum over chunks of the depth that come from the
// depth alone. A tile that packs both operands costs (rows + cols) * depth for rows * cols * depth of work,
// so those are large and near square, unless there are many threads to serve. What goes through gelu is best
// loaded once. B that was packed before costs nothing: of many rows small tiles, so that threads end together.
TileSize choose_tiles(const GemmCall& g) {
    const bool b_is_shared = g.b_packed != nullptr;
    const CacheClass cache = cache_class(g.l2_bytes > 0 ? g.l2_bytes : l2_cache_bytes());
    const bool copies_a = g.a.row != 1;
    const int64_t n = larger(g.n, 1), threads = num_threads();
    const bool crowded = threads > 4;
    const int64_t max_rows = b_is_shared ? cache.shared_rows
                             : copies_a  ? cache.copied_rows
                             : g.b.gelu  ? 512
                                         : 192;
    // A depth of half a chunk or less leaves room for twice the columns.
    const int64_t max_cols = g.a.gelu ? 768 : b_is_shared ? cache.shared_cols << (g.k <= 192) : 384;
    const int64_t min_rows = b_is_shared || copies_a || crowded ? 48 : 96;
    const int64_t min_cols = g.a.gelu ? n : copies_a || crowded ? 96 : 192;
    const int64_t wanted = larger(b_is_shared && g.m > kLocalRows ? 16 : 4, 2 * threads);
    int64_t down = ceil_div(g.m, max_rows), across = ceil_div(n, max_cols);
    while (down * across * g.batch.count < wanted && g.m * n * g.k > kSmallTile * down * across) {
        const bool fits_across = ceil_div(n, across + 1) >= min_cols;
        const bool fits_down = ceil_div(g.m, down + 1) >= min_rows;
        const bool wide = copies_a || g.b.gelu || ceil_div(n, across) > ceil_div(g.m, down);
        if (fits_across && (wide || !fits_down))
            ++across;
        else if (fits_down)
            ++down;
        else
            break;
    }
    return {round_up(ceil_div(g.m, down), kMr), round_up(ceil_div(n, across), kNr)};
}

// B in panels, by all threads.
void pack_whole_b(const GemmOperand& b, DType dtype, int64_t k, int64_t n, float* out) {
    const Stored all = stored(b, dtype);
    const Arithmetic arithmetic = arithmetic_of(b, dtype, k);
    const int64_t words = words_of(k, arithmetic), group = larger(1, (1 << 16) / larger(1, k * kNr)) * kNr;
    parallel_for(ceil_div(n, group), [&](int64_t i) {
        const int64_t n0 = i * group;
        pack_b(all.from(0, n0), arithmetic, k, smaller(group, n - n0), out + n0 * words, words * kNr);
    });
}

bool one_b(const Strided<2>& batch) {
    bool one = true;
    for (int d = 0; d < batch.rank; ++d) one = one && batch.strides[1][d] == 0;
    return one;
}

// With the bias as floats, padded to whole panels; row_sums [m] in f32, or null.
void run_tiles(const GemmCall& g, const float* bias, float* row_sums) {
    const TileSize size = choose_tiles(g);
    const Stored a = stored(g.a, g.dtype), b = stored(g.b, g.dtype);
    // Down first: tiles that run after one another share columns of B.
    const int64_t down = ceil_div(g.m, size.rows);
    const int64_t per_matrix = down * larger(1, ceil_div(g.n, size.cols));
    const auto b_of = [&](int64_t index) {
        const int64_t n = index % per_matrix / down * size.cols;
        return b.after(offsets_of(g.batch, index / per_matrix).at[1] + n * b.col);
    };
    const int64_t tiles = per_matrix * g.batch.count, threads = num_threads();
    const int epilogue = epilogue_of(g);
    const Arithmetic arithmetic =
        g.a.mem.dtype == DType::f16 ? Arithmetic::floats : arithmetic_of(g.b, g.dtype, g.k);
    const int64_t words = words_of(g.k, arithmetic);
    parallel_for(tiles, [&](int64_t index) {
        const int64_t matrix = index / per_matrix;
        const int64_t m = index % per_matrix % down * size.rows;
        const int64_t n = index % per_matrix / down * size.cols, at = m * g.ldc + n;
        GemmTile t{};
        t.rows = smaller(size.rows, g.m - m);
        t.cols = smaller(size.cols, g.n - n);
        t.depth = g.k;
        t.arithmetic = arithmetic;
        t.a = a.after(offsets_of(g.batch, matrix).at[0] + m * a.row);
        if (g.b_packed != nullptr) {
            t.b_packed = g.b_packed + n * words;
        } else {
            t.b = b_of(index);
            if (index + threads < tiles) t.next_b = b_of(index + threads);
        }
        t.c = from(g.c, matrix * g.m * g.ldc + at).data;
        t.c_type = type_of(g.c.dtype, g.c.dtype);
        t.ldc = g.ldc;
        t.epilogue = epilogue;
        t.bias = bias == nullptr ? nullptr : bias + n;
        if (g.residual.data != nullptr) t.residual = from(g.residual, at).data;
        if (g.gelu_grad_of.data != nullptr) t.gelu_grad_of = from(g.gelu_grad_of, at).data;
        if (g.save_pre.data != nullptr) t.pre = from(g.save_pre, at).data;
        t.row_sums = row_sums != nullptr && n == 0 ? row_sums + m : nullptr;
        static thread_local HostWorkspace scratch;
        t.scratch = scratch.reserve(scratch_floats(t));
        run_tile(t);
    });
}

#if defined(__AVX512F__)
// The state of the tile registers: 16 rows of 64 bytes in all eight.
struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void begin_tiles() {
    static constexpr TileConfig kConfig;
    asm volatile("ldtilecfg %0" ::"m"(kConfig));
}
void end_tiles() { asm volatile("tilerelease"); }

void multiply_tiles(int words, const float* a, int64_t a_row, const float* b, const float* add,
                    int64_t add_row, float* dst, int64_t dst_row) {
#define DEMI_LOAD_TILE(tile, from, row_bytes) \
    asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(int64_t{row_bytes}) : "memory")
#define DEMI_STORE_TILE(tile, to, row_bytes) \
    asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(int64_t{row_bytes}) : "memory")
    asm volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2");
    if (add != nullptr) {
        DEMI_LOAD_TILE(0, add, add_row * 4);
        DEMI_LOAD_TILE(1, add + 16, add_row * 4);
        DEMI_LOAD_TILE(2, add + 32, add_row * 4);
    }
    for (int w = 0; w < words; w += kTileWords, a += kTileWords, b += kTileWords * kNr) {
        DEMI_LOAD_TILE(3, a, a_row * 4);
        DEMI_LOAD_TILE(4, b, kNr * 4);
        DEMI_LOAD_TILE(5, b + 16, kNr * 4);
        DEMI_LOAD_TILE(6, b + 32, kNr * 4);
        asm volatile("tdpbf16ps %tmm4, %tmm3, %tmm0\n\t"
                     "tdpbf16ps %tmm5, %tmm3, %tmm1\n\t"
                     "tdpbf16ps %tmm6, %tmm3, %tmm2");
    }
    DEMI_STORE_TILE(0, dst, dst_row * 4);
    DEMI_STORE_TILE(1, dst + 16, dst_row * 4);
    DEMI_STORE_TILE(2, dst + 32, dst_row * 4);
#undef DEMI_LOAD_TILE
#undef DEMI_STORE_TILE
}
static_assert(kNr == kTileCols && sizeof(TileConfig) == 64);
#endif

void multiply_floats(GemmCall g) {
    static thread_local HostWorkspace shared_b, bias_memory, sums_memory;
    if (g.m == 1) g.a.row = 1;  // the stride of a single row says nothing
    if (g.b_packed == nullptr && g.m > kLocalRows && (g.m >= g.k || g.a.row != 1) && one_b(g.batch)) {
        float* out = shared_b.reserve(gemm_packed_floats(g.k, g.n));
        pack_whole_b(g.b, g.dtype, g.k, g.n, out);
        g.b_packed = out;
    }
    float* bias = nullptr;
    if (g.bias.data != nullptr) {
        bias = bias_memory.reserve(round_up(g.n, kNr) + kNr);
        // A matrix of one row: its panels hold it in order.
        pack_b({g.bias.data, type_of(g.bias.dtype, g.dtype), 0, 1}, Arithmetic::floats, 1, g.n, bias, kNr);
    }
    if (g.row_sums.data == nullptr || g.row_sums.dtype == DType::f32)
        return run_tiles(g, bias, elements<float>(g.row_sums));
    const float* sums = sums_memory.reserve(g.m);
    run_tiles(g, bias, const_cast<float*>(sums));
    const auto store = [&](auto* out) {
        for_lanes<float>(g.m, [&] DEMI_LANES { put(out + i, get(sums + i, n), n); });
    };
    g.row_sums.dtype == DType::f16 ? store(elements<Half>(g.row_sums))
                                   : store(elements<BFloat16>(g.row_sums));
}

// ---- f64: plain loops in the order of k, for gradient checks and references ----------------------------

double normal_cdf(double x) { return 0.5 * __builtin_erfc(-x / 1.41421356237309504880); }
double gelu_slope(double x) {
    return normal_cdf(x) + x * __builtin_exp(-0.5 * x * x) * 0.56418958354775628695 / 1.41421356237309504880;
}

void multiply_f64(const GemmCall& g) {
    const GemmOperand &a = g.a, &b = g.b;
    const int64_t rows = g.m * g.batch.count;
    parallel_ranges(rows, larger(1, (1 << 16) / larger(1, g.n * g.k)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const auto first = offsets_of(g.batch, i / g.m);
            const double* x = elements<double>(a.mem) + first.at[0] + i % g.m * a.row;
            double *c = elements<double>(g.c) + i * g.ldc, sum = 0;
            for (int64_t j = 0; j < g.n; ++j) c[j] = 0;
            for (int64_t p = 0; p < g.k; ++p) {
                const double factor = x[p * a.col];
                const double* y = elements<double>(b.mem) + first.at[1] + p * b.row;
                for (int64_t j = 0; j < g.n; ++j) c[j] += factor * y[j * b.col];
                sum += factor;
            }
            if (g.row_sums.data != nullptr) elements<double>(g.row_sums)[i] = sum;
            for (int64_t j = 0; j < g.n; ++j) {
                const int64_t at = i * g.ldc + j;
                if (g.bias.data != nullptr) c[j] += elements<double>(g.bias)[j];
                if (g.save_pre.data != nullptr) elements<double>(g.save_pre)[at] = c[j];
                if (g.gelu) c[j] *= normal_cdf(c[j]);
                if (g.gelu_grad_of.data != nullptr) c[j] *= gelu_slope(elements<double>(g.gelu_grad_of)[at]);
                if (g.residual.data != nullptr) c[j] += elements<double>(g.residual)[at];
            }
        }
    });
}

void multiply(const GemmCall& call, Queue) {
    if (call.m <= 0 || call.batch.count <= 0 || (call.n <= 0 && call.row_sums.data == nullptr)) return;
    if (call.a.mem.dtype == DType::f64) return multiply_f64(call);
    multiply_floats(call);
}

}  // namespace

const GemmKernels gemm_kernels = {multiply, pack_whole_b, nullptr};

}  // namespace demi::DEMI_BACKEND

#if defined(__AVX512F__)
namespace demi {

GemmTileUnit gemm_tile_unit{DEMI_BACKEND::begin_tiles, DEMI_BACKEND::end_tiles, DEMI_BACKEND::multiply_tiles};

}  // namespace demi
#endif
