#include "ops/optimizer/ema.h"

#include "ops/optimizer/tensor_list.h"

namespace demi {

void ema(std::span<const Tensor> dst, std::span<const Tensor> src, double momentum) {
    const Op op("ema");
    op.check(dst.size() == src.size(), "needs as many sources as destinations: got ", src.size(), " and ",
             dst.size());
    op.check(momentum >= 0 && momentum <= 1, "momentum must be in [0, 1]: got ", momentum);
    for (size_t i = 0; i < dst.size(); ++i) {
        check_parameter(op, i, dst[i]);
        op.check(src[i].defined(), "source ", i, " must be defined, like ", dst[i]);
        check_beside(op, i, "source", dst[i], src[i]);
        op.check(dst[i].device() == dst[0].device(), "tensors must be on one device: got ", dst[0], " and ",
                 dst[i]);
    }
    if (dst.empty()) return;
    TensorListBuilder list(dst[0].device());
    std::vector<Tensor> sources;  // alive until the kernel runs
    for (size_t i = 0; i < dst.size(); ++i) {
        if (dst[i].numel() == 0) continue;
        Tensor to = dst[i];
        sources.push_back(src[i].contiguous());
        list.add({to.mutable_raw(), sources.back().raw()}, to, src[i]);
    }
    if (!list.empty()) optimizer_on(list.device()).ema({list.list(), momentum}, queue_of(list.device()));
}

}  // namespace demi
