#include <vector>

#include "ops/matmul/gemm.h"
#include "ops/matmul/matmul_kernels.h"

namespace demi {
namespace {

// Where every matrix of the batch starts, in the order of the leading dimensions.
std::vector<int64_t> batch_offsets(const Tensor& x) {
    std::vector<int64_t> offsets{0};
    for (int d = 0; d < x.rank() - 2; ++d) {
        std::vector<int64_t> finer;
        finer.reserve(offsets.size() * static_cast<size_t>(x.size(d)));
        for (int64_t offset : offsets)
            for (int64_t i = 0; i < x.size(d); ++i) finer.push_back(offset + i * x.strides()[d]);
        offsets = std::move(finer);
    }
    return offsets;
}

// The same matrix for the whole batch.
bool is_shared(const Tensor& x) {
    for (int d = 0; d < x.rank() - 2; ++d)
        if (x.size(d) != 1 && x.strides()[d] != 0) return false;
    return true;
}

// Rows of all matrices follow one another at the same distance, so that the batch is one tall matrix.
bool is_tall(const Tensor& x) {
    int64_t distance = x.strides()[x.rank() - 2] * x.size(-2);
    for (int d = x.rank() - 3; d >= 0; --d) {
        if (x.size(d) != 1 && x.strides()[d] != distance) return false;
        distance *= x.size(d);
    }
    return true;
}

void product(const Tensor& a, const Tensor& b, Tensor& out) {
    if (out.numel() == 0) return;
    const int64_t m = out.size(-2), n = out.size(-1), k = a.size(-1), batch = out.numel() / (m * n);
    const bool tall = batch > 1 && is_shared(b) && is_tall(a);
    const std::vector<int64_t> a_offsets = tall ? std::vector<int64_t>{0} : batch_offsets(a);
    const std::vector<int64_t> b_offsets = tall ? std::vector<int64_t>{0} : batch_offsets(b);
    if (out.dtype() == DType::f64) {
        double* c = out.mutable_data<double>();
        for (size_t i = 0; i < a_offsets.size(); ++i) {
            StridedF64 x = f64_operand(a), y = f64_operand(b);
            x.data += a_offsets[i];
            y.data += b_offsets[i];
            gemm_f64(tall ? m * batch : m, n, k, x, y, c + static_cast<int64_t>(i) * m * n, n);
        }
        return;
    }
    GemmCall g;
    g.m = tall ? m * batch : m;
    g.n = n;
    g.k = k;
    g.batch = tall ? 1 : batch;
    g.a = gemm_operand(a, a.dtype());
    g.b = gemm_operand(b, b.dtype());
    if (g.batch > 1) {
        g.a.batch_offsets = a_offsets.data();
        if (!is_shared(b)) g.b.batch_offsets = b_offsets.data();
    }
    g.c = out.mutable_raw();
    g.c_type = gemm_type(out.dtype());
    g.ldc = n;
    g.c_batch = m * n;
    gemm(g);
}

}  // namespace

extern const MatmulKernels matmul_cpu;
const MatmulKernels matmul_cpu{product};

}  // namespace demi
