#include "ops/sgd/sgd.h"

#include <vector>

#include "ops/common/parameters.h"
#include "ops/sgd/sgd_kernels.h"
#include "runtime/profile.h"

namespace demi {

void sgd(std::span<const SgdTensor> tensors, const SgdOptions& o) {
    const ProfileScope scope("sgd");
    check(o.momentum >= 0, "sgd", "momentum must not be negative: got ", o.momentum);
    check(!o.nesterov || o.momentum > 0, "sgd", "nesterov needs a momentum above 0: got ", o.momentum);
    std::vector<SgdTensor> work;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const SgdTensor& t = tensors[i];
        check_parameter("sgd", i, t.param);
        if (!t.grad.defined()) continue;
        check_beside("sgd", i, "gradient", t.param, t.grad);
        check_factor("sgd", i, t.param, t.factor);
        if (o.momentum > 0) check_state("sgd", i, "momentum", t.param, t.momentum);
        check(work.empty() || work[0].param.device() == t.param.device(), "sgd",
              "parameters must be on one device: got ", t.param, " at ", i);
        if (t.param.numel() == 0) continue;
        work.push_back(t);
        work.back().grad = t.grad.contiguous();
        if (o.momentum == 0) work.back().momentum = Tensor();
    }
    if (!work.empty()) DEMI_SELECT(sgd, work[0].param.device(), step)(work, o);
}

}  // namespace demi
