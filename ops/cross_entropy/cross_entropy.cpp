#include "ops/cross_entropy/cross_entropy.h"

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "ops/cross_entropy/cross_entropy_kernels.h"
#include "runtime/capture.h"
#include "runtime/profile.h"

namespace demi {

namespace {

constexpr const char* kOp = "cross_entropy";

void check_target(const Tensor& logits, const Tensor& target, bool hard) {
    check_float_operand(kOp, "logits", logits);
    check(logits.rank() >= 1 && logits.size(-1) >= 1, kOp,
          "logits must be [..., classes] with at least one class: got ", logits);
    check_same_device(kOp, "logits", logits, "target", target);
    Shape rows = logits.shape();
    if (hard) rows.erase(rows.rank() - 1);
    check(target.shape() == rows, kOp, hard ? "labels" : "target probabilities", " must have shape ", rows,
          " for logits ", logits, ": got ", target);
}

void check_labels(const CrossEntropyLabels& found, const Tensor& labels, int64_t classes) {
    if (found.first_bad < 0) return;
    const Tensor flat = labels.to(Device::cpu()).view({-1});
    fail(kOp, "labels must lie in [0, ", classes, "): label ", found.first_bad, " of ", flat.numel(), " is ",
         flat.data<int64_t>()[found.first_bad]);
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Variable& target, CrossEntropyOptions options) {
    const ProfileScope scope("cross_entropy");
    check(target.defined() && (target.dtype() == DType::i64 || is_float(target.dtype())), kOp,
          "target must hold labels (i64) or probabilities (float): got ", target.value());
    const bool hard = target.dtype() == DType::i64;
    check_target(logits.value(), target.value(), hard);
    check(options.label_smoothing >= 0 && options.label_smoothing <= 1, kOp,
          "label_smoothing must be in [0, 1]: got ", options.label_smoothing);

    const DType compute = compute_dtype(logits.dtype());
    const int64_t classes = logits.size(-1), rows = logits.numel() / classes;
    CrossEntropyForward call;
    call.logits = logits.value().contiguous();
    (hard ? call.labels : call.target) =
        hard ? target.value().contiguous() : target.value().to(compute).contiguous();
    call.smoothing = options.label_smoothing;
    call.ignore_index = hard ? options.ignore_index : std::nullopt;
    Shape shape = logits.shape();
    shape.erase(shape.rank() - 1);
    call.losses = Tensor::empty(shape, compute, logits.device());
    call.row_max = Tensor::like(call.losses);
    call.log_sum = Tensor::like(call.losses);

    double divisor = 1;
    if (rows > 0) {
        CrossEntropyLabels found{-1, rows};
        if (hard && capturing(logits.device()))
            check(!call.ignore_index || options.reduction != Reduction::mean, kOp,
                  "a captured step cannot count the labels that ignore_index leaves, which the mean needs");
        else if (hard)
            found =
                DEMI_SELECT(cross_entropy, logits.device(), inspect)(call.labels, classes, call.ignore_index);
        check_labels(found, call.labels, classes);
        if (options.reduction == Reduction::mean)
            divisor = static_cast<double>(std::max<int64_t>(found.kept, 1));
        DEMI_SELECT(cross_entropy, logits.device(), forward)(call);
    }
    Tensor loss = call.losses;
    if (options.reduction != Reduction::none) {
        loss = Tensor::empty({}, compute, logits.device());
        DEMI_SELECT(cross_entropy, logits.device(), total)(call.losses, 1 / divisor, loss);
    }
    return record(kOp, {logits, target}, loss,
                  [logits = Saved(call.logits), labels = Saved(call.labels), target = Saved(call.target),
                   row_max = Saved(call.row_max), log_sum = Saved(call.log_sum), smoothing = call.smoothing,
                   divisor, ignore = call.ignore_index,
                   target_dtype = target.dtype()](const Tensor& dloss, const Needs& needs) -> Tensors {
                      CrossEntropyBackward back{
                          logits,    labels,      target, row_max, log_sum, dloss.contiguous(),
                          smoothing, 1 / divisor, ignore, {},      {}};
                      if (needs[0]) back.dlogits = Tensor::like(back.logits);
                      if (needs[1]) back.dtarget = Tensor::like(back.target);
                      if (back.logits.numel() > 0)
                          DEMI_SELECT(cross_entropy, back.logits.device(), backward)(back);
                      return {back.dlogits, needs[1] ? back.dtarget.to(target_dtype) : Tensor()};
                  });
}

}  // namespace demi
