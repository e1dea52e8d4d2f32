#include "ops/memory_efficient_attention/merge_attentions.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/memory_efficient_attention/merge_attentions_kernels.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr const char* kMergeOp = "merge_attentions";

MergeLayout layout_of(const Tensor& out) {
    const bool rank3 = out.rank() == 3;
    return {out.size(0), out.size(1), rank3 ? 1 : out.size(2), out.size(-1)};
}

void check_parts(const std::vector<AttentionWithLse>& parts) {
    check(!parts.empty(), kMergeOp, "needs at least one part: got none");
    const Tensor& out = parts[0].out.value();
    check_float_operand(kMergeOp, "out", out);
    check(out.rank() == 3 || out.rank() == 4, kMergeOp, "needs out of shape (B, M, H, K) or (B, M, K): got ",
          out.shape());
    const MergeLayout l = layout_of(out);
    const Shape lse{l.batch, l.heads, l.tokens};
    for (size_t i = 0; i < parts.size(); ++i) {
        const Tensor &x = parts[i].out.value(), &y = parts[i].lse.value();
        const bool fits = x.defined() && y.defined() && x.shape() == out.shape() &&
                          x.device() == out.device() && y.device() == out.device() &&
                          x.dtype() == out.dtype() && y.shape() == lse &&
                          y.dtype() == compute_dtype(out.dtype());
        check(fits, kMergeOp, "parts must be alike: part 0 has out ", describe(out), ", so lse must be ",
              compute_dtype(out.dtype()), " ", lse, "; part ", i, " has out ", describe(x), ", lse ",
              describe(y));
    }
}

}  // namespace

AttentionWithLse merge_attentions(const std::vector<AttentionWithLse>& parts) {
    const ProfileScope scope("merge_attentions");
    check_parts(parts);
    std::vector<Variable> inputs;
    Tensors outs, lses;
    for (const AttentionWithLse& part : parts) {
        inputs.push_back(part.out);
        inputs.push_back(part.lse);
        outs.push_back(part.out.value().contiguous());
        lses.push_back(part.lse.value().contiguous());
    }
    const MergeLayout layout = layout_of(outs[0]);
    const Tensor out = Tensor::like(outs[0]), lse = Tensor::like(lses[0]);
    DEMI_SELECT(merge_attentions, out.device(), forward)(layout, outs, lses, out, lse);

    std::vector<Saved> saved(outs.begin(), outs.end());
    saved.insert(saved.end(), lses.begin(), lses.end());
    const std::vector<Variable> both =
        record(kMergeOp, inputs, Tensors{out, lse},
               [layout, saved, out = Saved(out), lse = Saved(lse)](std::span<const Tensor> grads,
                                                                   const Needs& needs) {
                   const size_t n = saved.size() / 2;
                   Tensors parts_out, parts_lse, result(2 * n);
                   for (size_t i = 0; i < n; ++i) {
                       parts_out.push_back(saved[i].get());
                       parts_lse.push_back(saved[n + i].get());
                       if (needs[2 * i]) result[2 * i] = Tensor::like(parts_out[i]);
                       if (needs[2 * i + 1]) result[2 * i + 1] = Tensor::like(parts_lse[i]);
                   }
                   const Tensor g = grads[0].defined() ? grads[0].contiguous() : Tensor();
                   const Tensor h = grads[1].defined() ? grads[1].contiguous() : Tensor();
                   const Tensor whole = out.get();
                   DEMI_SELECT(merge_attentions, whole.device(), backward)
                   (layout, parts_out, parts_lse, whole, lse.get(), g, h, result);
                   return result;
               });
    return {both[0], both[1]};
}

}  // namespace demi
