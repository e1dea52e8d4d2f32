#include "ops/matmul/gemm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include "runtime/parallel.h"
#include "runtime/random.h"
#include "runtime/tensor.h"
#include "tests/support/env.h"

// The raw product against double: shapes, layouts, types and epilogues drawn at random.
namespace demi::test {
namespace {

struct Matrix {
    Tensor memory;
    std::vector<double> values;  // of memory, in double
    int64_t row = 1, col = 1;
    double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * row + j * col)]; }
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
    const Matrix a = draw.matrix(g.m, g.k, draw.dtype()), b = draw.matrix(g.k, g.n, draw.dtype());
    const DType out = draw.dtype();
    Matrix c = draw.matrix(g.m, g.n, out, true), bias = draw.matrix(1, g.n, draw.dtype(), true);
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

namespace {

// C and the sums of A's rows, with so many threads.
std::vector<float> product(const Matrix& a, const Matrix& b, bool gelu_of_b, int64_t m, int64_t k, int64_t n,
                           int threads, int64_t l2_bytes = 0) {
    set_num_threads(threads);
    std::vector<float> c(static_cast<size_t>(m * n)), sums(static_cast<size_t>(m));
    GemmCall g;
    g.m = m;
    g.n = n;
    g.k = k;
    g.a = operand(a);
    g.b = operand(b);
    g.b.gelu = gelu_of_b;
    g.c = {c.data(), DType::f32};
    g.ldc = n;
    if (a.row == 1) g.row_sums = {sums.data(), DType::f32};
    g.l2_bytes = l2_bytes;
    gemm(g);
    c.insert(c.end(), sums.begin(), sums.end());
    return c;
}

}  // namespace

// More threads cut C into more tiles, smaller caches into smaller ones.
TEST_CASE("gemm gives the same bits for any number of threads and size of caches") {
    Draw draw{Generator{18}};
    const int before = num_threads();
    for (const auto& [m, k] : {std::pair<int64_t, int64_t>{50, 450}, {300, 450}, {700, 450}, {450, 2000}})
        for (const bool transposed : {false, true})
            for (const bool gelu_of_b : {false, true}) {
                Matrix a = draw.matrix(m, k, DType::f32, true);
                if (transposed) a.row = 1, a.col = m;
                const Matrix b = draw.matrix(k, 300, DType::f32);
                const std::vector<float> one = product(a, b, gelu_of_b, m, k, 300, 1);
                for (const int threads : {2, 3, 16})
                    CHECK(product(a, b, gelu_of_b, m, k, 300, threads) == one);
                for (const int64_t kib : {1, 256, 512, 1024, 1280, 2048, 65536})
                    CHECK(product(a, b, gelu_of_b, m, k, 300, 2, kib << 10) == one);
            }
    set_num_threads(before);
}

}  // namespace demi::test
