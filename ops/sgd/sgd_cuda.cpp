#include "ops/sgd/sgd_cuda.h"

#include "ops/common/tensor_list.h"
#include "ops/sgd/sgd_kernels.h"
#include "runtime/capture.h"

namespace demi {
namespace {

// As in ops/adamw/adamw_cuda.cpp.
template <class C> struct Launcher {
    TensorListBuilder tensors;
    gpu_kernels::SgdCall<C> call{};
    int groups = 0;
    std::vector<SgdTensor> captured;

    explicit Launcher(const SgdOptions& o) {
        call.momentum = static_cast<C>(o.momentum);
        call.grad_scale = static_cast<C>(o.grad_scale);
        call.nesterov = o.nesterov ? C(1) : C(0);
    }
    void add(SgdTensor& t) {
        if (capturing(t.param.device())) {
            add_to_list(t, static_cast<int>(captured.size()));
            captured.push_back(t);
            return;
        }
        const C lr = static_cast<C>(t.lr), decay = static_cast<C>(t.weight_decay);
        int group = 0;
        while (group < groups && (call.groups[group].lr != lr || call.groups[group].weight_decay != decay))
            ++group;
        if (group == call.kGroups) {
            launch(t.param.device());
            group = 0;
        }
        if (group == groups) call.groups[groups++] = {lr, decay};
        add_to_list(t, group);
    }
    void add_to_list(SgdTensor& t, int group) {
        tensors.add({t.param.mutable_raw(), t.grad.raw(), gpu_out(t.momentum)}, t.param, t.grad, group,
                    t.factor);
    }
    void launch(Device device) {
        if (tensors.empty()) return;
        const auto sent = tensors.send(device);
        call.list = sent.list;
        if (!captured.empty()) call.live = live_numbers(device);
        gpu_kernels::sgd_step(call, gpu::current_stream(device));
        tensors = {};
        groups = 0;
    }
    const gpu_kernels::SgdNumbers<C>* live_numbers(Device device) {
        typedef gpu_kernels::SgdNumbers<C> Numbers;
        const auto bytes = static_cast<int64_t>(captured.size() * sizeof(Numbers));
        const auto fill = [all = captured, first = true](void* host) mutable {
            for (size_t i = 0; i < all.size(); ++i) {
                SgdTensor& t = all[i];
                if (!first && t.again) {
                    const StepNumbers now = t.again();
                    t.lr = now.lr, t.weight_decay = now.weight_decay;
                }
                static_cast<Numbers*>(host)[i] = {static_cast<C>(t.lr), static_cast<C>(t.weight_decay)};
            }
            first = false;
        };
        return reinterpret_cast<const Numbers*>(live_tensor({bytes}, DType::u8, device, fill).raw());
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
