#include "ops/optimizer/adamw.h"

#include <cmath>

#include "ops/op.h"
#include "ops/optimizer/parameters.h"
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
    const std::vector<size_t> work = tensors_to_step(op, tensors);
    for (size_t i : work) {
        check_state(op, i, "exp_avg", tensors[i].param, tensors[i].exp_avg);
        check_state(op, i, "exp_avg_sq", tensors[i].param, tensors[i].exp_avg_sq);
        op.check(tensors[i].step >= 1, "step of parameter ", i, " must be at least 1: got ", tensors[i].step);
    }
    if (work.empty()) return;
    const Device device = tensors[work[0]].param.device();
    TensorListBuilder list(device);
    NumberGroups<AdamwNumbers> groups;
    std::vector<Tensor> grads;  // alive until the kernel runs
    const auto run = [&] {
        if (list.empty()) return;
        optimizer_on(device).adamw({list.list(), groups.data(), groups.count(), groups.live(device)},
                                   queue_of(device));
        list.clear();
        groups.clear();
    };
    for (size_t i : work) {
        AdamwTensor t = tensors[i];
        // A captured step keeps it, and with it the tensors.
        const auto numbers = [t, now = StepNumbers{t.lr, t.weight_decay, t.step},
                              options](bool replay) mutable {
            if (replay) now = t.again ? t.again() : StepNumbers{now.lr, now.weight_decay, now.step + 1};
            return numbers_of(now, options);
        };
        int32_t group = groups.add(device, numbers);
        if (group < 0) {
            run();
            group = groups.add(device, numbers);
        }
        grads.push_back(t.grad.contiguous());
        list.add(
            {t.param.mutable_raw(), grads.back().raw(), t.exp_avg.mutable_raw(), t.exp_avg_sq.mutable_raw()},
            t.param, t.grad, group, t.factor);
    }
    run();
}

}  // namespace demi
