#include "ops/ema/ema.h"

#include <vector>

#include "ops/common/parameters.h"
#include "ops/ema/ema_kernels.h"
#include "runtime/profile.h"

namespace demi {

void ema(std::span<const Tensor> dst, std::span<const Tensor> src, double momentum) {
    const ProfileScope scope("ema");
    check(dst.size() == src.size(), "ema", "needs as many sources as destinations: got ", src.size(), " and ",
          dst.size());
    check(momentum >= 0 && momentum <= 1, "ema", "momentum must be in [0, 1]: got ", momentum);
    std::vector<Tensor> out, in;
    for (size_t i = 0; i < dst.size(); ++i) {
        check_parameter("ema", i, dst[i]);
        check(src[i].defined(), "ema", "source ", i, " must be defined, like ", dst[i]);
        check_beside("ema", i, "source", dst[i], src[i]);
        check(dst[i].device() == dst[0].device(), "ema", "tensors must be on one device: got ", dst[0],
              " and ", dst[i]);
        if (dst[i].numel() == 0) continue;
        out.push_back(dst[i]);
        in.push_back(src[i].contiguous());
    }
    if (!out.empty()) DEMI_SELECT(ema, out[0].device(), update)(out, in, momentum);
}

}  // namespace demi
