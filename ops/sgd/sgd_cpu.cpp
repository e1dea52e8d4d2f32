#include <cmath>

#include "ops/common/isa_index.h"
#include "ops/common/parameters.h"
#include "ops/common/rows.h"
#include "ops/common/tensor_chunks.h"
#include "ops/sgd/sgd_isa.h"
#include "ops/sgd/sgd_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(SgdIsa, sgd_isa)

namespace {

void step_f64(double* p, const double* g, double* b, int64_t count, const SgdTensor& t, const SgdOptions& o,
              double grad_scale) {
    for (int64_t i = 0; i < count; ++i) {
        double d = g[i] * grad_scale + t.weight_decay * p[i];
        if (b != nullptr) {
            b[i] = o.momentum * b[i] + d;
            d = o.nesterov ? d + o.momentum * b[i] : b[i];
        }
        p[i] -= t.lr * d;
    }
}

struct Work {
    MutableRowPointer param;
    RowPointer grad;
    MutableRowPointer buffer;
    SgdScalars scalars;
    double grad_scale;
};

void step(std::span<SgdTensor> tensors, const SgdOptions& o) {
    std::vector<Work> works;
    TensorChunks chunks;
    for (SgdTensor& t : tensors) {
        const double scale = o.grad_scale * factor_value(t.factor);
        works.push_back({{t.param, 1},
                         {t.grad, 1},
                         {t.momentum, 1},
                         {static_cast<float>(t.lr), static_cast<float>(t.weight_decay),
                          static_cast<float>(o.momentum), static_cast<float>(scale), o.nesterov},
                         scale});
        if (std::isfinite(scale)) chunks.add(works.size() - 1, t.param.numel());
    }
    chunks.run([&](size_t, const TensorChunk& c) {
        const Work& w = works[c.tensor];
        const SgdTensor& t = tensors[c.tensor];
        const int64_t at = c.begin;
        if (t.param.dtype() == DType::f64)
            return step_f64(w.param.at<double>(at), w.grad.at<double>(at), w.buffer.at<double>(at), c.count,
                            t, o, w.grad_scale);
        sgd_isa().step[isa_index(t.param.dtype(), "sgd")][isa_index(t.grad.dtype(), "sgd")](
            w.param[at], w.grad[at], w.buffer.at<float>(at), c.count, &w.scalars);
    });
}

}  // namespace

const SgdKernels sgd_cpu{.step = step};

}  // namespace demi
