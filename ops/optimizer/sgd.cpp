#include "ops/optimizer/sgd.h"

#include "ops/optimizer/tensor_list.h"

namespace demi {

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

}  // namespace demi
