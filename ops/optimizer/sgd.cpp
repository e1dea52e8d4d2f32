#include "ops/optimizer/sgd.h"

#include "ops/op.h"
#include "ops/optimizer/parameters.h"
#include "ops/optimizer/tensor_list.h"

namespace demi {

void sgd(std::span<const SgdTensor> tensors, const SgdOptions& options) {
    const Op op("sgd");
    op.check(options.momentum >= 0, "momentum must not be negative: got ", options.momentum);
    op.check(!options.nesterov || options.momentum > 0, "nesterov needs a momentum above 0: got ",
             options.momentum);
    const std::vector<size_t> work = tensors_to_step(op, tensors);
    if (options.momentum > 0)
        for (size_t i : work) check_state(op, i, "momentum", tensors[i].param, tensors[i].momentum);
    if (work.empty()) return;
    const Device device = tensors[work[0]].param.device();
    TensorListBuilder list(device);
    NumberGroups<SgdNumbers> groups;
    std::vector<Tensor> grads;  // alive until the kernel runs
    const auto run = [&] {
        if (list.empty()) return;
        optimizer_on(device).sgd({list.list(), groups.data(), groups.count(), groups.live(device)},
                                 queue_of(device));
        list.clear();
        groups.clear();
    };
    for (size_t i : work) {
        SgdTensor t = tensors[i];
        // A captured step keeps it, and with it the tensors.
        const auto numbers = [t, options](bool replay) mutable {
            if (replay && t.again) {
                const StepNumbers now = t.again();
                t.lr = now.lr, t.weight_decay = now.weight_decay;
            }
            return SgdNumbers{t.lr, t.weight_decay, options.momentum, options.nesterov ? 1.0 : 0.0,
                              options.grad_scale};
        };
        int32_t group = groups.add(device, numbers);
        if (group < 0) {
            run();
            group = groups.add(device, numbers);
        }
        grads.push_back(t.grad.contiguous());
        list.add({t.param.mutable_raw(), grads.back().raw(),
                  options.momentum > 0 ? t.momentum.mutable_raw() : nullptr},
                 t.param, t.grad, group, t.factor);
    }
    run();
}

}  // namespace demi
