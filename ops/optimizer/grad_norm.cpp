#include "ops/optimizer/grad_norm.h"

#include <algorithm>
#include <cmath>

#include "ops/op.h"
#include "ops/optimizer/tensor_list.h"

namespace demi {

namespace {

// The defined tensors with elements, checked.
std::vector<Tensor> present(const Op& op, std::span<const Tensor> grads, bool written) {
    std::vector<Tensor> out;
    for (size_t i = 0; i < grads.size(); ++i) {
        const Tensor& g = grads[i];
        if (!g.defined() || g.numel() == 0) continue;
        op.check(is_float(g.dtype()), "gradient ", i, " must be a float tensor: got ", g);
        op.check(!written || g.is_contiguous(), "gradient ", i,
                 " must be contiguous to be scaled in place: got ", g, " with strides ", g.strides());
        op.check(out.empty() || out[0].device() == g.device(), "gradients must be on one device: got ",
                 out.empty() ? g : out[0], " and ", g, " at ", i);
        out.push_back(g.contiguous());
    }
    return out;
}

Tensor norms_and_factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier,
                         double limit, Device device) {
    Tensor result = Tensor::empty({2, static_cast<int64_t>(groups.size())}, DType::f64, device);
    GradNorms call{};
    call.multiplier = multiplier.value;
    call.live_multiplier = live_number(multiplier, device);
    call.limit = limit;
    call.groups = static_cast<int64_t>(groups.size());
    call.result = result.mutable_data<double>();
    TensorListBuilder list(device);
    for (size_t g = 0; g < groups.size(); ++g) {
        for (const Tensor& t : groups[g]) list.add({t.raw()}, t, Tensor());
        call.ends[g] = list.chunks();
    }
    call.list = list.list();
    optimizer_on(device).grad_norms(call, queue_of(device));
    return result;
}

}  // namespace

double grad_norm(std::span<const Tensor> grads) {
    const Op op("grad_norm");
    const std::vector<Tensor> tensors = present(op, grads, false);
    if (tensors.empty()) return 0;
    return norms_and_factors(std::span(&tensors, 1), 1.0, 0, tensors[0].device()).select(0, 0).item();
}

double clip_factor(double norm, double max_norm) {
    check(max_norm > 0, "clip_grad_norm", "max_norm must be positive: got ", max_norm);
    return std::isfinite(norm) ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

double clip_grad_norm(std::span<const Tensor> grads, double max_norm) {
    present(Op("clip_grad_norm"), grads, true);
    const double norm = grad_norm(grads);
    const double factor = clip_factor(norm, max_norm);
    if (factor < 1) scale_grads(grads, factor);
    return norm;
}

Tensor grad_factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier,
                    double max_norm, Device device) {
    const Op op("grad_factors");
    op.check(!groups.empty() && groups.size() <= GradNorms::kMaxGroups, "needs 1 to ", GradNorms::kMaxGroups,
             " groups: got ", groups.size());
    op.check(max_norm >= 0, "max_norm must not be negative: got ", max_norm);
    std::vector<std::vector<Tensor>> work;
    for (const std::vector<Tensor>& group : groups) {
        work.push_back(present(op, group, false));
        op.check(work.back().empty() || work.back()[0].device() == device, "gradients must be on ", device,
                 ": got ", work.back().empty() ? Tensor() : work.back()[0]);
    }
    return norms_and_factors(work, multiplier, max_norm, device);
}

void scale_grads(std::span<const Tensor> grads, double factor) {
    const Op op("scale_grads");
    std::vector<Tensor> tensors = present(op, grads, true);
    if (tensors.empty()) return;
    TensorListBuilder list(tensors[0].device());
    for (Tensor& t : tensors) list.add({t.mutable_raw()}, t, Tensor());
    const TensorList all = list.list();
    const auto times = [&](double f) {
        optimizer_on(list.device()).scale({all, f}, queue_of(list.device()));
    };
    const double size = std::fabs(factor), part = size > 0 && size < 0x1p-100 ? 0x1p-100
                                                  : size > 0x1p100            ? 0x1p100
                                                                              : 1;
    times(factor / part);  // f32 would not hold all of its digits
    if (part != 1) times(part);
}

bool grads_finite(std::span<const Tensor> grads) {
    const Op op("grads_finite");
    const std::vector<Tensor> tensors = present(op, grads, false);
    if (tensors.empty()) return true;
    TensorListBuilder list(tensors[0].device());
    for (const Tensor& t : tensors) list.add({t.raw()}, t, Tensor());
    Tensor bad = Tensor::zeros({1}, DType::i32, list.device());
    optimizer_on(list.device())
        .find_not_finite({list.list(), static_cast<uint32_t*>(bad.mutable_raw())}, queue_of(list.device()));
    return bad.item() == 0;
}

}  // namespace demi
