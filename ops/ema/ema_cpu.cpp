#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/common/tensor_chunks.h"
#include "ops/ema/ema_isa.h"
#include "ops/ema/ema_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(EmaIsa, ema_isa)

namespace {

void update(std::span<Tensor> dst, std::span<const Tensor> src, double momentum) {
    std::vector<MutableRowPointer> out;
    std::vector<RowPointer> in;
    TensorChunks chunks;
    for (size_t i = 0; i < dst.size(); ++i) {
        out.emplace_back(dst[i], 1);
        in.emplace_back(src[i], 1);
        chunks.add(i, dst[i].numel());
    }
    chunks.run([&](size_t, const TensorChunk& c) {
        const DType to = dst[c.tensor].dtype(), from = src[c.tensor].dtype();
        if (to != DType::f64)
            return ema_isa().update[isa_index(to, "ema")][isa_index(from, "ema")](
                out[c.tensor][c.begin], in[c.tensor][c.begin], c.count, static_cast<float>(momentum),
                static_cast<float>(1 - momentum));
        double* y = out[c.tensor].at<double>(c.begin);
        const double* x = in[c.tensor].at<double>(c.begin);
        for (int64_t i = 0; i < c.count; ++i) y[i] = momentum * y[i] + (1 - momentum) * x[i];
    });
}

}  // namespace

const EmaKernels ema_cpu{.update = update};

}  // namespace demi
