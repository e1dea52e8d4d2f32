#include "ops/matmul/gemm.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/host_memory.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi {

DEMI_ISA_TABLE(GemmIsa, gemm_isa)

namespace {

// B is packed once, before, when there are more rows of C than this, unless A is a transpose with more
// columns than rows (the gradient of a weight); otherwise every tile packs its own part of it.
constexpr int64_t kLocalRows = 384;
constexpr int64_t kSmallTile = 1 << 20;  // multiplications in a tile that is not worth splitting

// Memory for floats, aligned to 64 bytes, that grows and never shrinks. What it held is lost when it grows.
class Workspace {
  public:
    Workspace() = default;
    Workspace(const Workspace&) = delete;
    ~Workspace() { host_release(data_); }
    float* reserve(int64_t floats) {
        if (floats <= size_) return data_;
        host_release(std::exchange(data_, nullptr));
        size_ = 0;
        data_ = static_cast<float*>(host_allocate(static_cast<std::size_t>(floats) * sizeof(float)));
        if (data_ == nullptr) throw std::bad_alloc();
        size_ = floats;
        return data_;
    }

  private:
    float* data_ = nullptr;
    int64_t size_ = 0;
};

int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

const void* advance(const void* p, GemmType type, int64_t elements) {
    return p == nullptr ? nullptr : static_cast<const char*>(p) + elements * stored_size(type);
}
void* advance(void* p, GemmType type, int64_t elements) {
    return p == nullptr ? nullptr : static_cast<char*>(p) + elements * stored_size(type);
}

int64_t start_of(const GemmOperand& x, int64_t matrix) {
    return x.batch_offsets != nullptr ? x.batch_offsets[matrix] : matrix * x.batch;
}

struct TileSize {
    int64_t rows, cols;
};

bool is_gelu(GemmType type) {
    return type == GemmType::gelu_of_f32 || type == GemmType::gelu_of_f16 || type == GemmType::gelu_of_bf16;
}

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
TileSize choose_tiles(const GemmCall& g, int mr, int nr) {
    const bool b_is_shared = g.b_packed != nullptr;
    const CacheClass cache = cache_class(g.l2_bytes > 0 ? g.l2_bytes : l2_cache_bytes());
    const bool copies_a = g.a.row != 1;
    const int64_t n = std::max<int64_t>(g.n, 1), threads = num_threads();
    const bool crowded = threads > 4;
    const int64_t max_rows = b_is_shared         ? cache.shared_rows
                             : copies_a          ? cache.copied_rows
                             : is_gelu(g.b.type) ? 512
                                                 : 192;
    // A depth of half a chunk or less leaves room for twice the columns.
    const int64_t max_cols = is_gelu(g.a.type) ? 768 : b_is_shared ? cache.shared_cols << (g.k <= 192) : 384;
    const int64_t min_rows = b_is_shared || copies_a || crowded ? 48 : 96;
    const int64_t min_cols = is_gelu(g.a.type) ? n : copies_a || crowded ? 96 : 192;
    const int64_t wanted = std::max<int64_t>(b_is_shared && g.m > kLocalRows ? 16 : 4, 2 * threads);
    int64_t down = ceil_div(g.m, max_rows), across = ceil_div(n, max_cols);
    while (down * across * g.batch < wanted && g.m * n * g.k > kSmallTile * down * across) {
        const bool fits_across = ceil_div(n, across + 1) >= min_cols;
        const bool fits_down = ceil_div(g.m, down + 1) >= min_rows;
        const bool wide = copies_a || is_gelu(g.b.type) || ceil_div(n, across) > ceil_div(g.m, down);
        if (fits_across && (wide || !fits_down))
            ++across;
        else if (fits_down)
            ++down;
        else
            break;
    }
    return {round_up(ceil_div(g.m, down), mr), round_up(ceil_div(n, across), nr)};
}

// The bias as floats, padded to whole panels.
const float* bias_as_floats(const GemmCall& g, const GemmIsa& isa, Workspace& memory) {
    if (!(g.epilogue & kGemmBias)) return nullptr;
    float* out = memory.reserve(round_up(g.n, isa.nr) + isa.nr);
    // A matrix of one row: its panels hold it in order.
    isa.pack_b(g.bias, g.bias_type, 0, 1, 1, g.n, out);
    return out;
}

}  // namespace

int64_t gemm_packed_floats(int64_t k, int64_t n) {
    return std::max<int64_t>(1, round_up(n, gemm_isa().nr) * k);
}

void gemm_pack_b(const GemmOperand& b, int64_t k, int64_t n, float* out) {
    const GemmIsa& isa = gemm_isa();
    const int64_t group = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, k * isa.nr)) * isa.nr;
    parallel_for(ceil_div(n, group), [&](int64_t i) {
        const int64_t n0 = i * group;
        isa.pack_b(advance(b.data, b.type, n0 * b.col), b.type, b.row, b.col, k, std::min(group, n - n0),
                   out + n0 * k);
    });
}

void gemm(const GemmCall& call) {
    GemmCall g = call;
    if (g.m == 1) g.a.row = 1;  // the stride of a single row says nothing
    if (g.m <= 0 || g.batch <= 0 || (g.n <= 0 && g.row_sums == nullptr)) return;
    const GemmIsa& isa = gemm_isa();
    static thread_local Workspace shared_b, bias_memory;

    const bool packs_before = g.b_packed == nullptr && g.m > kLocalRows && (g.m >= g.k || g.a.row != 1) &&
                              (g.batch == 1 || (g.b.batch == 0 && g.b.batch_offsets == nullptr));
    if (packs_before) {
        float* out = shared_b.reserve(gemm_packed_floats(g.k, g.n));
        gemm_pack_b(g.b, g.k, g.n, out);
        g.b_packed = out;
    }
    const TileSize size = choose_tiles(g, isa.mr, isa.nr);
    const float* bias = bias_as_floats(g, isa, bias_memory);

    // Down first: tiles that run after one another share columns of B.
    const int64_t down = ceil_div(g.m, size.rows);
    const int64_t per_matrix = down * std::max<int64_t>(1, ceil_div(g.n, size.cols));
    const auto b_of = [&](int64_t index) {
        const int64_t n = index % per_matrix / down * size.cols;
        return advance(g.b.data, g.b.type, start_of(g.b, index / per_matrix) + n * g.b.col);
    };
    const int64_t tiles = per_matrix * g.batch, threads = num_threads();
    parallel_for(tiles, [&](int64_t index) {
        const int64_t matrix = index / per_matrix;
        const int64_t m = index % per_matrix % down * size.rows;
        const int64_t n = index % per_matrix / down * size.cols;
        GemmTile t{};
        t.rows = std::min(size.rows, g.m - m);
        t.cols = std::min(size.cols, g.n - n);
        t.depth = g.k;
        t.a = advance(g.a.data, g.a.type, start_of(g.a, matrix) + m * g.a.row);
        t.a_type = g.a.type;
        t.a_row = g.a.row;
        t.a_col = g.a.col;
        t.b_packed = g.b_packed == nullptr ? nullptr : g.b_packed + n * g.k;
        t.b = b_of(index);
        t.next_b = g.b_packed == nullptr && index + threads < tiles ? b_of(index + threads) : nullptr;
        t.b_type = g.b.type;
        t.b_row = g.b.row;
        t.b_col = g.b.col;
        t.c = advance(g.c, g.c_type, matrix * g.c_batch + m * g.ldc + n);
        t.c_type = g.c_type;
        t.ldc = g.ldc;
        t.epilogue = g.epilogue;
        t.bias = bias == nullptr ? nullptr : bias + n;
        t.residual = advance(g.residual, g.c_type, m * g.ld_residual + n);
        t.ld_residual = g.ld_residual;
        t.pre = advance(g.pre, g.c_type, m * g.ld_pre + n);
        t.ld_pre = g.ld_pre;
        t.row_sums = g.row_sums != nullptr && n == 0 ? g.row_sums + m : nullptr;
        static thread_local Workspace scratch;
        t.scratch = scratch.reserve(isa.scratch_floats(t));
        isa.run_tile(t);
    });
}

void gemm_f64(int64_t m, int64_t n, int64_t k, StridedF64 a, StridedF64 b, double* c, int64_t ldc) {
    const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, n * k));
    parallel_ranges(m, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            double* row = c + i * ldc;
            std::fill(row, row + n, 0.0);
            for (int64_t p = 0; p < k; ++p) {
                const double x = a.data[i * a.row + p * a.col];
                const double* y = b.data + p * b.row;
                for (int64_t j = 0; j < n; ++j) row[j] += x * y[j * b.col];
            }
        }
    });
}

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
