#include "ops/sgd/sgd_cuda.h"

#include "ops/common/tensor_list.h"
#include "ops/sgd/sgd_kernels.h"

namespace demi {
namespace {

// As in ops/adamw/adamw_cuda.cpp.
template <class C> struct Launcher {
    TensorListBuilder tensors;
    gpu_kernels::SgdCall<C> call{};
    int groups = 0;

    explicit Launcher(const SgdOptions& o) {
        call.momentum = static_cast<C>(o.momentum);
        call.grad_scale = static_cast<C>(o.grad_scale);
        call.nesterov = o.nesterov ? C(1) : C(0);
    }
    void add(SgdTensor& t) {
        const C lr = static_cast<C>(t.lr), decay = static_cast<C>(t.weight_decay);
        int group = 0;
        while (group < groups && (call.groups[group].lr != lr || call.groups[group].weight_decay != decay))
            ++group;
        if (group == call.kGroups) {
            launch(t.param.device());
            group = 0;
        }
        if (group == groups) call.groups[groups++] = {lr, decay};
        tensors.add({t.param.mutable_raw(), t.grad.raw(), gpu_out(t.momentum)}, t.param, t.grad, group,
                    t.factor);
    }
    void launch(Device device) {
        if (tensors.empty()) return;
        const auto sent = tensors.send(device);
        call.list = sent.list;
        gpu_kernels::sgd_step(call, gpu::current_stream(device));
        tensors = {};
        groups = 0;
    }
};

void step(std::span<SgdTensor> tensors, const SgdOptions& options) {
    Launcher<float> narrow(options);
    Launcher<double> wide(options);
    for (SgdTensor& t : tensors) t.param.dtype() == DType::f64 ? wide.add(t) : narrow.add(t);
    narrow.launch(tensors[0].param.device());
    wide.launch(tensors[0].param.device());
}

}  // namespace

const SgdKernels sgd_cuda{.step = step};

}  // namespace demi
