#include <cmath>

#include "ops/adamw/adamw_isa.h"
#include "ops/adamw/adamw_kernels.h"
#include "ops/common/isa_index.h"
#include "ops/common/parameters.h"
#include "ops/common/rows.h"
#include "ops/common/tensor_chunks.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(AdamwIsa, adamw_isa)

// The factor belongs to the device; there the kernel reads it.
AdamwFactors adamw_factors(const AdamwTensor& t, const AdamwOptions& o) {
    const double step = static_cast<double>(t.step);
    return {1 - t.lr * t.weight_decay,
            1 - o.beta1,
            o.beta2,
            1 - o.beta2,
            t.lr / (1 - std::pow(o.beta1, step)),
            std::sqrt(1 - std::pow(o.beta2, step)),
            o.eps,
            o.grad_scale};
}

namespace {

void step_f64(double* p, const double* g, double* m, double* v, int64_t count, const AdamwFactors& f) {
    for (int64_t i = 0; i < count; ++i) {
        const double d = g[i] * f.grad_scale;
        m[i] += f.beta1_rest * (d - m[i]);
        v[i] = f.beta2 * v[i] + f.beta2_rest * d * d;
        p[i] = f.decay * p[i] - f.step_size * (m[i] / (std::sqrt(v[i]) / f.root_correction + f.eps));
    }
}

struct Work {
    MutableRowPointer param;
    RowPointer grad;
    MutableRowPointer exp_avg, exp_avg_sq;
    AdamwFactors factors;
    AdamwScalars scalars;
};

AdamwScalars narrow(const AdamwFactors& f) {
    const auto to_float = [](double x) { return static_cast<float>(x); };
    return {to_float(f.decay),     to_float(f.beta1_rest),      to_float(f.beta2), to_float(f.beta2_rest),
            to_float(f.step_size), to_float(f.root_correction), to_float(f.eps),   to_float(f.grad_scale)};
}

void step(std::span<AdamwTensor> tensors, const AdamwOptions& options) {
    std::vector<Work> works;
    works.reserve(tensors.size());
    TensorChunks chunks;
    for (AdamwTensor& t : tensors) {
        AdamwFactors f = adamw_factors(t, options);
        f.grad_scale *= factor_value(t.factor);
        works.push_back({{t.param, 1}, {t.grad, 1}, {t.exp_avg, 1}, {t.exp_avg_sq, 1}, f, narrow(f)});
        if (std::isfinite(f.grad_scale)) chunks.add(works.size() - 1, t.param.numel());
    }
    chunks.run([&](size_t, const TensorChunk& c) {
        const Work& w = works[c.tensor];
        const AdamwTensor& t = tensors[c.tensor];
        const int64_t at = c.begin;
        if (t.param.dtype() == DType::f64)
            return step_f64(w.param.at<double>(at), w.grad.at<double>(at), w.exp_avg.at<double>(at),
                            w.exp_avg_sq.at<double>(at), c.count, w.factors);
        adamw_isa().step[isa_index(t.param.dtype(), "adamw")][isa_index(t.grad.dtype(), "adamw")](
            w.param[at], w.grad[at], w.exp_avg.at<float>(at), w.exp_avg_sq.at<float>(at), c.count,
            &w.scalars);
    });
}

}  // namespace

const AdamwKernels adamw_cpu{.step = step};

}  // namespace demi
