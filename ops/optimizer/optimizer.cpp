#include <cmath>

#include "ops/optimizer/adamw.h"
#include "ops/optimizer/ema.h"
#include "ops/optimizer/sgd.h"
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

void sgd(std::span<const SgdTensor> tensors, const SgdOptions& options) {
    const Op op("sgd");
    op.check(options.momentum >= 0, "momentum must not be negative: got ", options.momentum);
    op.check(!options.nesterov || options.momentum > 0, "nesterov needs a momentum above 0: got ",
             options.momentum);
    const bool keeps = options.momentum > 0;
    take_steps<SgdNumbers>(
        op, tensors, &OptimizerKernels::sgd,
        [&](size_t i, const SgdTensor& t) {
            if (keeps) check_state(op, i, "momentum", t.param, t.momentum);
        },
        [&](const SgdTensor& tensor) {  // a captured step keeps t, and with it the tensors
            return [t = tensor, options](bool replay) mutable {
                if (replay && t.again) {
                    const StepNumbers now = t.again();
                    t.lr = now.lr, t.weight_decay = now.weight_decay;
                }
                return SgdNumbers{t.lr, t.weight_decay, options.momentum, options.nesterov ? 1.0 : 0.0,
                                  options.grad_scale};
            };
        },
        [&](SgdTensor& t) {
            return std::array<void*, 2>{keeps ? t.momentum.mutable_raw() : nullptr, nullptr};
        });
}

void ema(std::span<const Tensor> dst, std::span<const Tensor> src, double momentum) {
    const Op op("ema");
    op.check(dst.size() == src.size(), "needs as many sources as destinations: got ", src.size(), " and ",
             dst.size());
    op.check(momentum >= 0 && momentum <= 1, "momentum must be in [0, 1]: got ", momentum);
    for (size_t i = 0; i < dst.size(); ++i) {
        check_parameter(op, i, dst[i]);
        op.check(src[i].defined(), "source ", i, " must be defined, like ", dst[i]);
        check_beside(op, i, "source", dst[i], src[i]);
        op.check(dst[i].device() == dst[0].device(), "tensors must be on one device: got ", dst[0], " and ",
                 dst[i]);
    }
    if (dst.empty()) return;
    TensorListBuilder list(dst[0].device());
    std::vector<Tensor> sources;  // alive until the kernel runs
    for (size_t i = 0; i < dst.size(); ++i) {
        if (dst[i].numel() == 0) continue;
        Tensor to = dst[i];
        sources.push_back(src[i].contiguous());
        list.add({to.mutable_raw(), sources.back().raw()}, to, src[i]);
    }
    if (!list.empty()) optimizer_on(list.device()).ema({list.list(), momentum}, queue_of(list.device()));
}

}  // namespace demi
