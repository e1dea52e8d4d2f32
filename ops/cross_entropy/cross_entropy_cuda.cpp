#include "ops/cross_entropy/cross_entropy_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/cross_entropy/cross_entropy_kernels.h"

namespace demi {
namespace {

gpu_kernels::CrossEntropyRows rows_of(const Tensor& logits, const Tensor& labels, const Tensor& target,
                                      double smoothing, std::optional<int64_t> ignore) {
    const int64_t width = logits.shape().back();
    return {logits.raw(),
            labels.defined() ? labels.data<int64_t>() : nullptr,
            gpu_in(target),
            logits.numel() / width,
            width,
            smoothing,
            ignore.value_or(0),
            ignore.has_value()};
}

CrossEntropyLabels inspect(const Tensor& labels, int64_t classes, std::optional<int64_t> ignore) {
    Tensor found = Tensor::empty({2}, DType::i64, labels.device());
    gpu_kernels::inspect_labels({labels.data<int64_t>(), labels.numel(), classes, ignore.value_or(0),
                                 ignore.has_value(), found.mutable_data<int64_t>()},
                                gpu_stream(labels));
    const std::vector<int64_t> host = found.to_vector<int64_t>();
    return {host[0], host[1]};
}

void forward(CrossEntropyForward& c) {
    gpu_kernels::cross_entropy_forward(c.logits.dtype(),
                                       {rows_of(c.logits, c.labels, c.target, c.smoothing, c.ignore_index),
                                        gpu_out(c.losses), gpu_out(c.row_max), gpu_out(c.log_sum)},
                                       gpu_stream(c.logits));
}

void backward(CrossEntropyBackward& c) {
    gpu_kernels::cross_entropy_backward(c.logits.dtype(),
                                        {rows_of(c.logits, c.labels, c.target, c.smoothing, c.ignore_index),
                                         gpu_in(c.row_max), gpu_in(c.log_sum), gpu_in(c.dloss),
                                         c.dloss.numel() == 1, c.scale, gpu_out(c.dlogits),
                                         gpu_out(c.dtarget)},
                                        gpu_stream(c.logits));
}

void total(const Tensor& losses, double scale, Tensor& out) {
    gpu_kernels::cross_entropy_total(out.dtype(), {losses.raw(), out.mutable_raw(), losses.numel(), scale},
                                     gpu_stream(out));
}

}  // namespace

const CrossEntropyKernels cross_entropy_cuda{
    .inspect = inspect, .forward = forward, .backward = backward, .total = total};

}  // namespace demi
