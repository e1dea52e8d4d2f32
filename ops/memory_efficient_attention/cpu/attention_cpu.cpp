#include "ops/memory_efficient_attention/cpu/attention_tasks.h"

namespace demi::DEMI_BACKEND {
namespace {

void forward(const AttentionForward& call, Queue queue) {
    if (call.q.dtype == DType::f64) return attention::forward_f64(call, queue);
    attention::forward_f32(call, queue);
}

void backward(const AttentionBackward& call, Queue queue) {
    if (call.q.dtype == DType::f64) return attention::backward_f64(call, queue);
    attention::backward_f32(call, queue);
    if (call.grad_bias.data != nullptr) attention::bias_backward(call, queue);
}

}  // namespace

const AttentionKernels memory_efficient_attention_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
