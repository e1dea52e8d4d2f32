#include "ops/adamw/adamw_cuda.h"

#include <cstring>

#include "ops/adamw/adamw_kernels.h"
#include "ops/common/tensor_list.h"

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
    TensorListBuilder tensors;
    gpu_kernels::AdamwCall<C> call{};
    int groups = 0;

    void add(AdamwTensor& t, const AdamwOptions& options) {
        const gpu_kernels::AdamwNumbers<C> n = numbers<C>(adamw_factors(t, options));
        int group = 0;
        while (group < groups && std::memcmp(&call.groups[group], &n, sizeof n) != 0) ++group;
        if (group == call.kGroups) {
            launch(t.param.device());
            group = 0;
        }
        if (group == groups) call.groups[groups++] = n;
        tensors.add(
            {t.param.mutable_raw(), t.grad.raw(), t.exp_avg.mutable_raw(), t.exp_avg_sq.mutable_raw()},
            t.param, t.grad, group, t.factor);
    }
    void launch(Device device) {
        if (tensors.empty()) return;
        const auto sent = tensors.send(device);
        call.list = sent.list;
        gpu_kernels::adamw_step(call, gpu::current_stream(device));
        tensors = {};
        groups = 0;
    }
};

void step(std::span<AdamwTensor> tensors, const AdamwOptions& options) {
    Launcher<float> narrow;
    Launcher<double> wide;
    for (AdamwTensor& t : tensors)
        t.param.dtype() == DType::f64 ? wide.add(t, options) : narrow.add(t, options);
    narrow.launch(tensors[0].param.device());
    wide.launch(tensors[0].param.device());
}

}  // namespace

const AdamwKernels adamw_cuda{.step = step};

}  // namespace demi
