#include "ops/merge_attentions/merge_attentions.h"

#include "ops/merge_attentions/merge_attentions_kernels.h"
#include "ops/op.h"
#include "runtime/device_table.h"

namespace demi {
namespace {

void check_parts(const Op& op, const std::vector<AttentionWithLse>& parts) {
    op.check(!parts.empty(), "needs at least one part: got none");
    const Tensor& out = op.floats("out", parts[0].out);
    op.check(out.rank() == 3 || out.rank() == 4, "needs out of shape (B, M, H, K) or (B, M, K): got ",
             out.shape());
    const Shape lse{out.size(0), out.rank() == 3 ? 1 : out.size(2), out.size(1)};
    for (size_t i = 0; i < parts.size(); ++i) {
        const Tensor &x = parts[i].out.value(), &y = parts[i].lse.value();
        const bool fits = x.defined() && y.defined() && x.shape() == out.shape() &&
                          x.device() == out.device() && y.device() == out.device() &&
                          x.dtype() == out.dtype() && y.shape() == lse &&
                          y.dtype() == compute_dtype(out.dtype());
        op.check(fits, "parts must be alike: part 0 has out ", out, ", so lse must be ",
                 compute_dtype(out.dtype()), " ", lse, "; part ", i, " has out ", x, ", lse ", y);
    }
}

// The call's shape and its table of parts, which `table` keeps. grads: of each part's out and lse in turn,
// where defined.
MergeParts parts_of(const Tensors& outs, const Tensors& lses, Tensors& grads, Tensor& table) {
    std::vector<MergePart> parts;
    for (size_t i = 0; i < outs.size(); ++i)
        parts.push_back(
            {outs[i].raw(), lses[i].raw(), writes(grads[2 * i]).data, writes(grads[2 * i + 1]).data});
    const Tensor& out = outs[0];
    table = device_table(out.device(), parts.data(), parts.size() * sizeof(MergePart));
    return {table_at<MergePart>(table, 0),
            static_cast<int64_t>(parts.size()),
            out.size(0),
            out.size(1),
            out.rank() == 3 ? 1 : out.size(2),
            out.size(-1)};
}

// parts: every out, then every log-sum-exp. Gives the gradients of each part's two in turn.
Tensors backward(const std::vector<Saved>& parts, const Tensor& out, const Tensor& lse,
                 std::span<const Tensor> grads, const Needs& needs) {
    const size_t n = parts.size() / 2;
    Tensors outs, lses, result(2 * n);
    for (size_t i = 0; i < n; ++i) {
        outs.push_back(parts[i].get());
        lses.push_back(parts[n + i].get());
        if (needs[2 * i]) result[2 * i] = Tensor::like(outs[i]);
        if (needs[2 * i + 1]) result[2 * i + 1] = Tensor::like(lses[i]);
    }
    const Tensor g = grads[0].defined() ? grads[0].contiguous() : Tensor();
    const Tensor h = grads[1].defined() ? grads[1].contiguous() : Tensor();
    Tensor table;
    if (lse.numel() > 0)
        merge_attentions_on(out.device())
            .backward({parts_of(outs, lses, result, table), reads(out), reads(lse), reads(g), reads(h)},
                      queue_of(out));
    return result;
}

}  // namespace

AttentionWithLse merge_attentions(const std::vector<AttentionWithLse>& parts) {
    const Op op("merge_attentions");
    check_parts(op, parts);
    std::vector<Variable> inputs;
    Tensors outs, lses, none(2 * parts.size());
    for (const AttentionWithLse& part : parts) {
        inputs.push_back(part.out);
        inputs.push_back(part.lse);
        outs.push_back(part.out.value().contiguous());
        lses.push_back(part.lse.value().contiguous());
    }
    Tensor out = Tensor::like(outs[0]), lse = Tensor::like(lses[0]), table;
    if (lse.numel() > 0)
        merge_attentions_on(out.device())
            .forward({parts_of(outs, lses, none, table), writes(out), writes(lse)}, queue_of(out));

    std::vector<Saved> saved(outs.begin(), outs.end());
    saved.insert(saved.end(), lses.begin(), lses.end());
    const std::vector<Variable> both = op.record(
        inputs, Tensors{out, lse},
        [saved, out = Saved(out), lse = Saved(lse)](std::span<const Tensor> grads, const Needs& needs) {
            return backward(saved, out.get(), lse.get(), grads, needs);
        });
    return {both[0], both[1]};
}

}  // namespace demi
