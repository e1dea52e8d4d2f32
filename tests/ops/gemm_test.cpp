#include "ops/matmul/gemm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "runtime/parallel.h"
#include "runtime/random.h"
#include "runtime/tensor.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"

// The raw product against double: shapes, layouts, types and epilogues drawn at random.
namespace demi::test {
namespace {

struct Matrix {
    Tensor memory;
    std::vector<double> values;  // of memory, in double
    int64_t row = 1, col = 1;
    double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * row + j * col)]; }
    // As it enters a product in this dtype.
    void round_to(DType dtype) {
        if (dtype != DType::f32) values = memory.to(dtype).to_vector<double>();
    }
};

struct Draw {
    Generator rng;
    int64_t between(int64_t low, int64_t high) {
        return low + static_cast<int64_t>(rng.next_below(static_cast<uint32_t>(high - low + 1)));
    }
    // Contiguous, transposed or neither; with rows or columns that are further apart than needed.
    Matrix matrix(int64_t rows, int64_t cols, DType dtype, bool plain = false) {
        Matrix m;
        const int64_t layout = plain ? 0 : between(0, 2), pad = between(0, 3);
        m.row = layout == 1 ? 1 : layout == 0 ? cols + pad : 2 * cols + pad;
        m.col = layout == 1 ? rows + pad : layout == 0 ? 1 : 2;
        const int64_t size = rows == 0 || cols == 0 ? 0 : (rows - 1) * m.row + (cols - 1) * m.col + 1;
        m.memory = Tensor::empty({size}, dtype);
        normal(m.memory, rng);
        m.values = m.memory.to_vector<double>();
        return m;
    }
    // Other values in the same places.
    Matrix like(Matrix m) {
        m.memory = Tensor::like(m.memory);
        normal(m.memory, rng);
        m.values = m.memory.to_vector<double>();
        return m;
    }
    DType dtype() {
        constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};
        return kTypes[between(0, 2)];
    }
};

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_slope(double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0));
}
double half_step(DType dtype) { return dtype == DType::f32 ? 1e-6 : dtype == DType::f16 ? 1e-3 : 8e-3; }

ConstMem mem(const Matrix& m) { return {m.memory.raw(), m.memory.dtype()}; }
GemmOperand operand(const Matrix& m) { return {mem(m), m.row, m.col}; }
void gemm(const GemmCall& call) { gemm_on(Device::cpu()).multiply(call, {}); }

// The parts of an epilogue.
constexpr int kBias = 1, kResidual = 2, kGelu = 4, kSavePre = 8, kGeluGrad = 16;

void check_one(Draw& draw) {
    constexpr int kEpilogues[] = {0, 1, 2, 3, 4, 5, 12, 13, 16};
    const int64_t large = draw.between(0, 8);
    GemmCall g;
    g.m = large == 0 ? draw.between(385, 500) : large == 3 ? draw.between(100, 384) : draw.between(0, 40);
    g.n = large == 1 ? draw.between(100, 400) : draw.between(0, 70);
    g.k = large == 2 ? draw.between(380, 900) : draw.between(0, 50);
    const int epilogue = kEpilogues[draw.between(0, 8)];
    Matrix a = draw.matrix(g.m, g.k, draw.dtype()), b = draw.matrix(g.k, g.n, draw.dtype());
    if (a.memory.dtype() != DType::f16 && b.memory.dtype() != DType::f16 && draw.between(0, 1) == 0) {
        g.dtype = DType::bf16;
        a.round_to(g.dtype);
        b.round_to(g.dtype);
    }
    const DType out = draw.dtype();
    Matrix c = draw.matrix(g.m, g.n, out, true), bias = draw.matrix(1, g.n, draw.dtype(), true);
    if (g.dtype == DType::bf16) bias.round_to(bias.memory.dtype() == DType::f32 ? g.dtype : DType::f32);
    Matrix residual = draw.like(c), pre = draw.like(c);
    g.a = operand(a);
    g.b = operand(b);
    g.c = {c.memory.mutable_raw(), out};
    g.ldc = c.row;
    if (epilogue & kBias) g.bias = mem(bias);
    if (epilogue & kResidual) g.residual = mem(residual);
    if (epilogue & kSavePre) g.save_pre = {pre.memory.mutable_raw(), out};
    if (epilogue & kGeluGrad) g.gelu_grad_of = mem(pre);
    g.gelu = (epilogue & kGelu) != 0;
    std::vector<float> sums(static_cast<size_t>(g.m), -1.f);
    const bool sums_rows = a.row == 1 && draw.between(0, 1) == 0;
    if (sums_rows) g.row_sums = {sums.data(), DType::f32};
    gemm(g);

    const std::vector<double> got = c.memory.to_vector<double>(), saved = pre.memory.to_vector<double>();
    CAPTURE(g.m);
    CAPTURE(g.n);
    CAPTURE(g.k);
    CAPTURE(epilogue);
    CAPTURE(out);
    const double step = half_step(out);
    bool good = true;
    for (int64_t i = 0; i < g.m; ++i) {
        double row_sum = 0;
        for (int64_t k = 0; k < g.k; ++k) row_sum += a.at(i, k);
        if (sums_rows) good = good && std::abs(sums[static_cast<size_t>(i)] - row_sum) < 1e-4;
        for (int64_t j = 0; j < g.n; ++j) {
            double x = 0, size = 1;
            for (int64_t k = 0; k < g.k; ++k) {
                const double term = a.at(i, k) * b.at(k, j);
                x += term;
                size += std::abs(term);
            }
            if (epilogue & kBias) x += bias.at(0, j);
            double allowed = 2e-6 * size;
            if (epilogue & (kGelu | kSavePre)) allowed += 1.2 * step * std::abs(x);
            if (epilogue & kSavePre) {
                const double u = saved[static_cast<size_t>(i * g.ldc + j)];
                good = good && std::abs(u - x) <= allowed;
            }
            if (epilogue & kGelu) x = gelu(x);
            if (epilogue & kGeluGrad) x *= gelu_slope(pre.at(i, j));
            if (epilogue & kResidual) x += residual.at(i, j);
            good = good && std::abs(got[static_cast<size_t>(i * g.ldc + j)] - x) <=
                               allowed + step * (std::abs(x) + 1e-3);
        }
        // Between the rows of C nothing is touched.
        if (i + 1 < g.m && g.n > 0)
            for (int64_t j = g.n; j < g.ldc; ++j) {
                const size_t at = static_cast<size_t>(i * g.ldc + j);
                good = good && got[at] == c.values[at];
            }
    }
    CHECK(good);
}

}  // namespace

TEST_CASE("gemm against double") {
    Draw draw{Generator{17}};
    for (int i = 0; i < (quick() ? 60 : 300); ++i) check_one(draw);
}

// ---- products in bf16 by the processor's own instructions

#if defined(__x86_64__)
namespace {

// Subnormal numbers count as 0, as the instruction has it.
float flushed(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.f, x) : x; }

// What Intel's manual says of TDPBF16PS: the sums over even and over odd positions of a tile's depth by
// multiply-adds, their sum, and then that of the tile.
[[gnu::target("fma")]] void emulated_tiles(int words, const float* a, int64_t a_row, const float* b,
                                           const float* add, int64_t add_row, float* dst, int64_t dst_row) {
    const auto half = [](const float* word, int which) {
        uint16_t bits[2];
        std::memcpy(bits, word, sizeof bits);
        return flushed(BFloat16::from_bits(bits[which]));
    };
    for (int i = 0; i < kTileRows; ++i) {
        float sum[kTileCols] = {};
        for (int j = 0; add != nullptr && j < kTileCols; ++j) sum[j] = flushed(add[i * add_row + j]);
        for (int tile = 0; tile < words; tile += kTileWords) {
            float part[2][kTileCols] = {};
            for (int k = tile; k < tile + kTileWords; ++k)
                for (int which = 0; which < 2; ++which) {
                    const float x = half(a + i * a_row + k, which);
                    for (float *p = part[which], *end = p + kTileCols; p < end; ++p)
                        *p = flushed(
                            __builtin_fmaf(x, half(b + k * kTileCols + (p - part[which]), which), *p));
                }
            for (int j = 0; j < kTileCols; ++j) sum[j] = flushed(sum[j] + flushed(part[0][j] + part[1][j]));
        }
        std::memcpy(dst + i * dst_row, sum, sizeof sum);
    }
}

// While it lives, products in bf16 are those of `isa`, emulated where the processor lacks it.
struct WithIsa {
    const Isa before = cpu_isa();
    const GemmTileUnit unit = gemm_tile_unit;
    explicit WithIsa(Isa isa) {
        if (isa == Isa::v4_amx && !detail::cpu_runs(isa)) gemm_tile_unit = {[] {}, [] {}, emulated_tiles};
        detail::assume_isa(isa);
    }
    ~WithIsa() {
        gemm_tile_unit = unit;
        detail::assume_isa(before);
    }
};

}  // namespace

TEST_CASE("gemm in bf16 by pairs and by tiles against double") {
    if (cpu_isa() < Isa::v4) DEMI_SKIP("needs AVX-512");
    for (const Isa isa : {Isa::v4_bf16, Isa::v4_amx}) {
        if (isa == Isa::v4_bf16 && !detail::cpu_runs(isa)) continue;
        CAPTURE(std::string(isa_name(isa)));
        const WithIsa with(isa);
        Draw draw{Generator{19}};
        for (int i = 0; i < (quick() ? 60 : 300); ++i) check_one(draw);
    }
}
#endif

namespace {

struct Sizes {
    int64_t m, k, n;
};

// C and the sums of A's rows, with so many threads.
std::vector<float> product(const Matrix& a, const Matrix& b, bool gelu_of_b, Sizes size, int threads,
                           int64_t l2_bytes = 0, DType dtype = DType::f32, const float* b_packed = nullptr) {
    set_num_threads(threads);
    std::vector<float> c(static_cast<size_t>(size.m * size.n)), sums(static_cast<size_t>(size.m));
    GemmCall g;
    g.m = size.m;
    g.n = size.n;
    g.k = size.k;
    g.dtype = dtype;
    g.a = operand(a);
    g.b = operand(b);
    g.b.gelu = gelu_of_b;
    g.b_packed = b_packed;
    g.c = {c.data(), DType::f32};
    g.ldc = size.n;
    if (a.row == 1) g.row_sums = {sums.data(), DType::f32};
    g.l2_bytes = l2_bytes;
    gemm(g);
    c.insert(c.end(), sums.begin(), sums.end());
    return c;
}

void check_bits(DType dtype, const std::vector<Sizes>& sizes) {
    Draw draw{Generator{18}};
    const int before = num_threads();
    const std::vector<int> teams = quick() ? std::vector{3} : std::vector{2, 3, 16};
    const std::vector<int64_t> caches = quick() ? std::vector<int64_t>{1, 512, 2048}
                                                : std::vector<int64_t>{1, 256, 512, 1024, 1280, 2048, 65536};
    for (const Sizes& size : sizes)
        for (const bool transposed : {false, true})
            for (const bool gelu_of_b : {false, true}) {
                Matrix a = draw.matrix(size.m, size.k, DType::f32, true);
                if (transposed) a.row = 1, a.col = size.m;
                const Matrix b = draw.matrix(size.k, size.n, dtype);
                const std::vector<float> one = product(a, b, gelu_of_b, size, 1, 0, dtype);
                for (const int threads : teams)
                    CHECK(product(a, b, gelu_of_b, size, threads, 0, dtype) == one);
                for (const int64_t kib : caches)
                    CHECK(product(a, b, gelu_of_b, size, 2, kib << 10, dtype) == one);
                if (gelu_of_b) continue;
                Tensor packed = Tensor::empty({gemm_packed_floats(size.k, size.n)});
                float* panels = static_cast<float*>(packed.mutable_raw());
                gemm_on(Device::cpu()).pack_b(operand(b), dtype, size.k, size.n, panels);
                CHECK(product(a, b, false, size, 2, 0, dtype, panels) == one);
            }
    set_num_threads(before);
}

}  // namespace

// More threads cut C into more tiles, smaller caches into smaller ones.
TEST_CASE("gemm gives the same bits for any number of threads and size of caches") {
    const std::vector<Sizes> small = {{50, 451, 60}, {20, 1700, 50}, {390, 70, 100}},
                             large = {{50, 450, 300}, {300, 451, 300}, {700, 450, 300}, {450, 2000, 300}};
    const std::vector<Sizes>& sizes = quick() ? small : large;
    check_bits(DType::f32, sizes);
#if defined(__x86_64__)
    if (cpu_isa() < Isa::v4) return;
    for (const Isa isa : {Isa::v4, Isa::v4_bf16, Isa::v4_amx}) {
        if (isa == Isa::v4_bf16 && !detail::cpu_runs(isa)) continue;
        CAPTURE(std::string(isa_name(isa)));
        const WithIsa with(isa);
        // An emulation takes its time, a hundred times as much under a sanitizer.
        if (detail::cpu_runs(isa) || !quick())
            check_bits(DType::bf16, detail::cpu_runs(isa) ? sizes : small);
        else
            check_bits(DType::bf16, {{33, 47, 70}});
    }
#endif
}

}  // namespace demi::test
