#include "ops/cross_entropy/cross_entropy.h"

#include "ops/cross_entropy/cross_entropy_kernels.h"
#include "ops/op.h"
#include "runtime/capture.h"

namespace demi {

namespace {

void check_target(const Op& op, const Tensor& logits, const Tensor& target, bool hard) {
    op.floats("logits", logits);
    op.check(logits.rank() >= 1 && logits.size(-1) >= 1,
             "logits must be [..., classes] with at least one class: got ", logits);
    op.same_device("logits", logits, "target", target);
    Shape rows = logits.shape();
    if (hard) rows.erase(rows.rank() - 1);
    op.check(target.shape() == rows, hard ? "labels" : "target probabilities", " must have shape ", rows,
             " for logits ", logits, ": got ", target);
}

// Labels that count; throws where one is no class.
int64_t count_labels(const Op& op, const Tensor& labels, const CrossEntropyRows& in) {
    Tensor found = Tensor::empty({2}, DType::i64, labels.device());
    cross_entropy_on(labels.device())
        .inspect({labels.data<int64_t>(), in.rows, in.width, in.ignored, in.ignores,
                  found.mutable_data<int64_t>()},
                 queue_of(labels));
    const std::vector<int64_t> host = found.to_vector<int64_t>();
    if (host[0] >= 0)
        fail(op.name(), "labels must lie in [0, ", in.width, "): label ", host[0], " of ", in.rows, " is ",
             labels.to(Device::cpu()).data<int64_t>()[host[0]]);
    return host[1];
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Variable& target, CrossEntropyOptions options) {
    const Op op("cross_entropy");
    op.check(target.defined() && (target.dtype() == DType::i64 || is_float(target.dtype())),
             "target must hold labels (i64) or probabilities (float): got ", target.value());
    const bool hard = target.dtype() == DType::i64;
    check_target(op, logits.value(), target.value(), hard);
    op.check(options.label_smoothing >= 0 && options.label_smoothing <= 1,
             "label_smoothing must be in [0, 1]: got ", options.label_smoothing);

    const DType compute = compute_dtype(logits.dtype());
    const Device device = logits.device();
    const Tensor x = logits.value().contiguous();
    const Tensor t = (hard ? target.value() : target.value().to(compute)).contiguous();
    const bool ignores = hard && options.ignore_index.has_value();
    CrossEntropyRows in{
        reads(x),   hard ? reads(t) : ConstMem{}, hard ? ConstMem{} : reads(t),     x.numel() / x.size(-1),
        x.size(-1), options.label_smoothing,      options.ignore_index.value_or(0), ignores};
    Shape shape = x.shape();
    shape.erase(shape.rank() - 1);
    Tensor losses = Tensor::empty(shape, compute, device), row_max = Tensor::like(losses),
           log_sum = Tensor::like(losses);

    double divisor = 1;
    if (in.rows > 0) {
        int64_t kept = in.rows;
        if (hard && capturing(device))
            op.check(
                !ignores || options.reduction != Reduction::mean,
                "a captured step cannot count the labels that ignore_index leaves, which the mean needs");
        else if (hard)
            kept = count_labels(op, t, in);
        if (options.reduction == Reduction::mean) divisor = static_cast<double>(std::max<int64_t>(kept, 1));
        cross_entropy_on(device).forward({in, writes(losses), writes(row_max), writes(log_sum)},
                                         queue_of(device));
    }
    Tensor loss = losses;
    if (options.reduction != Reduction::none) {
        loss = Tensor::empty({}, compute, device);
        cross_entropy_on(device).total({reads(losses), writes(loss), in.rows, 1 / divisor}, queue_of(device));
    }
    return op.record(
        {logits, target}, loss,
        [x = Saved(x), t = Saved(t), row_max = Saved(row_max), log_sum = Saved(log_sum), in, divisor, hard,
         target_dtype = target.dtype()](const Tensor& grad, const Needs& needs) -> Tensors {
            const Tensor values = x, wanted = t, dloss = grad.contiguous();
            CrossEntropyRows rows = in;
            rows.logits = reads(values);
            (hard ? rows.labels : rows.target) = reads(wanted);
            Tensor dlogits = needs[0] ? Tensor::like(values) : Tensor();
            Tensor dtarget = needs[1] ? Tensor::like(wanted) : Tensor();
            if (rows.rows > 0)
                cross_entropy_on(values.device())
                    .backward({rows, reads(row_max), reads(log_sum), reads(dloss), dloss.numel() == 1,
                               1 / divisor, writes(dlogits), writes(dtarget)},
                              queue_of(values));
            return {dlogits, needs[1] ? dtarget.to(target_dtype) : Tensor()};
        });
}

}  // namespace demi
