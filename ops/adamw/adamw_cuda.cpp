#include "ops/adamw/adamw_cuda.h"

#include <cstring>

#include "ops/adamw/adamw_kernels.h"
#include "ops/common/tensor_list.h"
#include "runtime/capture.h"

namespace demi {
namespace {

template <class C> gpu_kernels::AdamwNumbers<C> numbers(const AdamwFactors& f) {
    const auto as = [](double x) { return static_cast<C>(x); };
    return {as(f.decay),     as(f.beta1_rest),      as(f.beta2), as(f.beta2_rest),
            as(f.step_size), as(f.root_correction), as(f.eps),   as(f.grad_scale)};
}

// All tensors whose parameters are f64, or all others, in one launch; more only where they need too many
// numbers.
template <class C> struct Launcher {
    typedef gpu_kernels::AdamwNumbers<C> Numbers;
    AdamwOptions options;
    TensorListBuilder tensors;
    gpu_kernels::AdamwCall<C> call{};
    int groups = 0;
    std::vector<AdamwTensor> captured;  // each is a group of its own

    void add(AdamwTensor& t) {
        if (capturing(t.param.device())) {
            add_to_list(t, static_cast<int>(captured.size()));
            captured.push_back(t);
            return;
        }
        const Numbers n = numbers<C>(adamw_factors(t, options));
        int group = 0;
        while (group < groups && std::memcmp(&call.groups[group], &n, sizeof n) != 0) ++group;
        if (group == call.kGroups) {
            launch(t.param.device());
            group = 0;
        }
        if (group == groups) call.groups[groups++] = n;
        add_to_list(t, group);
    }
    void add_to_list(AdamwTensor& t, int group) {
        tensors.add(
            {t.param.mutable_raw(), t.grad.raw(), t.exp_avg.mutable_raw(), t.exp_avg_sq.mutable_raw()},
            t.param, t.grad, group, t.factor);
    }
    void launch(Device device) {
        if (tensors.empty()) return;
        const auto sent = tensors.send(device);
        call.list = sent.list;
        if (!captured.empty()) call.live = live_numbers(device);
        gpu_kernels::adamw_step(call, gpu::current_stream(device));
        tensors = {};
        groups = 0;
    }
    // Made again for each replay; the record keeps the tensors.
    const Numbers* live_numbers(Device device) {
        const auto bytes = static_cast<int64_t>(captured.size() * sizeof(Numbers));
        const auto fill = [all = captured, o = options, first = true](void* host) mutable {
            for (size_t i = 0; i < all.size(); ++i) {
                AdamwTensor& t = all[i];
                if (!first) {
                    const StepNumbers now =
                        t.again ? t.again() : StepNumbers{t.lr, t.weight_decay, t.step + 1};
                    t.lr = now.lr, t.weight_decay = now.weight_decay, t.step = now.step;
                }
                static_cast<Numbers*>(host)[i] = numbers<C>(adamw_factors(t, o));
            }
            first = false;
        };
        return reinterpret_cast<const Numbers*>(live_tensor({bytes}, DType::u8, device, fill).raw());
    }
};

void step(std::span<AdamwTensor> tensors, const AdamwOptions& options) {
    Launcher<float> narrow{options, {}, {}, 0, {}};
    Launcher<double> wide{options, {}, {}, 0, {}};
    for (AdamwTensor& t : tensors) t.param.dtype() == DType::f64 ? wide.add(t) : narrow.add(t);
    narrow.launch(tensors[0].param.device());
    wide.launch(tensors[0].param.device());
}

}  // namespace

const AdamwKernels adamw_cuda{.step = step};

}  // namespace demi
