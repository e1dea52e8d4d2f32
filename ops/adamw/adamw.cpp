#include "ops/adamw/adamw.h"

#include <vector>

#include "ops/adamw/adamw_kernels.h"
#include "ops/common/parameters.h"
#include "runtime/profile.h"

namespace demi {

void adamw(std::span<const AdamwTensor> tensors, const AdamwOptions& o) {
    const ProfileScope scope("adamw");
    check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, "adamw",
          "betas must be in [0, 1): got ", o.beta1, " and ", o.beta2);
    check(o.eps >= 0, "adamw", "eps must not be negative: got ", o.eps);
    std::vector<AdamwTensor> work;
    work.reserve(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
        const AdamwTensor& t = tensors[i];
        check_parameter("adamw", i, t.param);
        if (!t.grad.defined()) continue;
        check_beside("adamw", i, "gradient", t.param, t.grad);
        check_factor("adamw", i, t.param, t.factor);
        check_state("adamw", i, "exp_avg", t.param, t.exp_avg);
        check_state("adamw", i, "exp_avg_sq", t.param, t.exp_avg_sq);
        check(t.step >= 1, "adamw", "step of parameter ", i, " must be at least 1: got ", t.step);
        check(work.empty() || work[0].param.device() == t.param.device(), "adamw",
              "parameters must be on one device: got ", t.param, " at ", i);
        if (t.param.numel() == 0) continue;
        work.push_back(t);
        work.back().grad = t.grad.contiguous();
    }
    if (!work.empty()) DEMI_SELECT(adamw, work[0].param.device(), step)(work, o);
}

}  // namespace demi
