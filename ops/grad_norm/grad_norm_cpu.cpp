#include <atomic>
#include <cmath>

#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/common/tensor_chunks.h"
#include "ops/grad_norm/grad_norm.h"
#include "ops/grad_norm/grad_norm_isa.h"
#include "ops/grad_norm/grad_norm_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(GradNormIsa, grad_norm_isa)

namespace {

constexpr const char* kOp = "grad_norm";

TensorChunks chunks_of(std::span<const Tensor> tensors) {
    TensorChunks chunks;
    for (size_t i = 0; i < tensors.size(); ++i) chunks.add(i, tensors[i].numel());
    return chunks;
}

// Of `scale` times the f64 tensors; the others count where scale is 1.
double sum_squares(std::span<const Tensor> tensors, double scale) {
    const TensorChunks chunks = chunks_of(tensors);
    std::vector<double> sums(chunks.size());
    chunks.run([&](size_t i, const TensorChunk& c) {
        const Tensor& t = tensors[c.tensor];
        const RowPointer x(t, 1);
        if (t.dtype() != DType::f64) {
            if (scale == 1)
                sums[i] = grad_norm_isa().sum_squares[isa_index(t.dtype(), kOp)](x[c.begin], c.count);
            return;
        }
        const double* v = x.at<double>(c.begin);
        for (int64_t k = 0; k < c.count; ++k) sums[i] += v[k] * scale * (v[k] * scale);
    });
    double total = 0;
    for (double s : sums) total += s;
    return total;
}

// Where squares of f64 overflow or underflow, numbers of other types are too small to count, or 0.
double norm(std::span<const Tensor> tensors) {
    const double plain = sum_squares(tensors, 1);
    const bool wide =
        std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.dtype() == DType::f64; });
    if (!wide || (std::isfinite(plain) && plain >= 1e-290)) return std::sqrt(plain);
    const double scale = plain > 1 ? 0x1p-600 : 0x1p600;
    return std::sqrt(sum_squares(tensors, scale)) / scale;
}

void scale(std::span<Tensor> tensors, double factor) {
    std::vector<MutableRowPointer> out;
    for (Tensor& t : tensors) out.emplace_back(t, 1);
    chunks_of(tensors).run([&](size_t, const TensorChunk& c) {
        const DType dtype = tensors[c.tensor].dtype();
        if (dtype != DType::f64)
            return grad_norm_isa().scale[isa_index(dtype, kOp)](out[c.tensor][c.begin], c.count,
                                                                static_cast<float>(factor));
        double* v = out[c.tensor].at<double>(c.begin);
        for (int64_t k = 0; k < c.count; ++k) v[k] *= factor;
    });
}

void factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& number, double max_norm,
             Tensor& result) {
    const double multiplier = number.value;
    double *norms = result.mutable_data<double>(), *out = norms + groups.size();
    bool good = true;
    for (size_t g = 0; g < groups.size(); ++g) {
        norms[g] = norm(groups[g]) * multiplier;
        out[g] = multiplier * (max_norm > 0 ? clip_factor(norms[g], max_norm) : 1);
        good = good && std::isfinite(norms[g]);
    }
    if (!good) std::fill(out, out + groups.size(), std::nan(""));
}

bool finite(std::span<const Tensor> tensors) {
    std::atomic<bool> good{true};
    chunks_of(tensors).run([&](size_t, const TensorChunk& c) {
        if (!good.load(std::memory_order_relaxed)) return;
        const Tensor& t = tensors[c.tensor];
        const RowPointer x(t, 1);
        bool ok;
        if (t.dtype() == DType::f64) {
            const double* v = x.at<double>(c.begin);
            ok = std::all_of(v, v + c.count, [](double a) { return std::isfinite(a); });
        } else {
            ok = grad_norm_isa().finite[isa_index(t.dtype(), kOp)](x[c.begin], c.count);
        }
        if (!ok) good.store(false, std::memory_order_relaxed);
    });
    return good.load();
}

}  // namespace

const GradNormKernels grad_norm_cpu{.norm = norm, .scale = scale, .factors = factors, .finite = finite};

}  // namespace demi
