#include "ops/grad_norm/grad_norm.h"

#include <cmath>
#include <vector>

#include "ops/grad_norm/grad_norm_kernels.h"
#include "runtime/profile.h"

namespace demi {

namespace {

// The defined tensors with elements, checked.
std::vector<Tensor> present(std::string_view op, std::span<const Tensor> grads, bool written) {
    std::vector<Tensor> out;
    for (size_t i = 0; i < grads.size(); ++i) {
        const Tensor& g = grads[i];
        if (!g.defined() || g.numel() == 0) continue;
        check(is_float(g.dtype()), op, "gradient ", i, " must be a float tensor: got ", g);
        check(!written || g.is_contiguous(), op, "gradient ", i,
              " must be contiguous to be scaled in place: got ", g, " with strides ", g.strides());
        if (!out.empty() && out[0].device() != g.device())
            fail(op, "gradients must be on one device: got ", out[0], " and ", g, " at ", i);
        out.push_back(g.contiguous());
    }
    return out;
}

}  // namespace

double grad_norm(std::span<const Tensor> grads) {
    const ProfileScope scope("grad_norm");
    const std::vector<Tensor> tensors = present("grad_norm", grads, false);
    if (tensors.empty()) return 0;
    return DEMI_SELECT(grad_norm, tensors[0].device(), norm)(tensors);
}

double clip_factor(double norm, double max_norm) {
    check(max_norm > 0, "clip_grad_norm", "max_norm must be positive: got ", max_norm);
    return std::isfinite(norm) ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

double clip_grad_norm(std::span<const Tensor> grads, double max_norm) {
    present("clip_grad_norm", grads, true);
    const double norm = grad_norm(grads);
    const double factor = clip_factor(norm, max_norm);
    if (factor < 1) scale_grads(grads, factor);
    return norm;
}

Tensor grad_factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier,
                    double max_norm, Device device) {
    constexpr size_t kMost = 64;
    check(!groups.empty() && groups.size() <= kMost, "grad_factors", "needs 1 to ", kMost, " groups: got ",
          groups.size());
    check(max_norm >= 0, "grad_factors", "max_norm must not be negative: got ", max_norm);
    std::vector<std::vector<Tensor>> work;
    for (const std::vector<Tensor>& group : groups) {
        work.push_back(present("grad_factors", group, false));
        check(work.back().empty() || work.back()[0].device() == device, "grad_factors",
              "gradients must be on ", device, ": got ", work.back().empty() ? Tensor() : work.back()[0]);
    }
    Tensor result = Tensor::empty({2, static_cast<int64_t>(groups.size())}, DType::f64, device);
    DEMI_SELECT(grad_norm, device, factors)(work, multiplier, max_norm, result);
    return result;
}

void scale_grads(std::span<const Tensor> grads, double factor) {
    const ProfileScope scope("scale_grads");
    std::vector<Tensor> tensors = present("scale_grads", grads, true);
    if (tensors.empty()) return;
    const auto times = [&](double f) { DEMI_SELECT(grad_norm, tensors[0].device(), scale)(tensors, f); };
    const double size = std::fabs(factor), part = size > 0 && size < 0x1p-100 ? 0x1p-100
                                                  : size > 0x1p100            ? 0x1p100
                                                                              : 1;
    times(factor / part);  // f32 would not hold all of its digits
    if (part != 1) times(part);
}

bool grads_finite(std::span<const Tensor> grads) {
    const std::vector<Tensor> tensors = present("grads_finite", grads, false);
    return tensors.empty() || DEMI_SELECT(grad_norm, tensors[0].device(), finite)(tensors);
}

}  // namespace demi
