#include "ops/optimizer/adamw.h"

#include <cmath>

#include "ops/optimizer/tensor_list.h"

namespace demi {
namespace {

AdamwNumbers numbers_of(const StepNumbers& n, const AdamwOptions& o) {
    const double step = static_cast<double>(n.step);
    return {1 - n.lr * n.weight_decay,
            1 - o.beta1,
            o.beta2,
            1 - o.beta2,
            n.lr / (1 - std::pow(o.beta1, step)),
            std::sqrt(1 - std::pow(o.beta2, step)),
            o.eps,
            o.grad_scale};
}

}  // namespace

void adamw(std::span<const AdamwTensor> tensors, const AdamwOptions& options) {
    const Op op("adamw");
    op.check(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
             "betas must be in [0, 1): got ", options.beta1, " and ", options.beta2);
    op.check(options.eps >= 0, "eps must not be negative: got ", options.eps);
    take_steps<AdamwNumbers>(
        op, tensors, &OptimizerKernels::adamw,
        [&](size_t i, const AdamwTensor& t) {
            check_state(op, i, "exp_avg", t.param, t.exp_avg);
            check_state(op, i, "exp_avg_sq", t.param, t.exp_avg_sq);
            op.check(t.step >= 1, "step of parameter ", i, " must be at least 1: got ", t.step);
        },
        [&](const AdamwTensor& t) {  // a captured step keeps t, and with it the tensors
            return [t, now = StepNumbers{t.lr, t.weight_decay, t.step}, options](bool replay) mutable {
                if (replay) now = t.again ? t.again() : StepNumbers{now.lr, now.weight_decay, now.step + 1};
                return numbers_of(now, options);
            };
        },
        [](AdamwTensor& t) {
            return std::array<void*, 2>{t.exp_avg.mutable_raw(), t.exp_avg_sq.mutable_raw()};
        });
}

}  // namespace demi
