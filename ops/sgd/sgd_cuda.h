#pragma once
// The launch behind sgd: data[0] parameter, [1] gradient, [2] the momentum buffer or null. C is float, or
// double for f64 tensors.
#include "ops/common/tensor_list_cuda.h"

namespace demi::gpu_kernels {

template <class C> struct SgdNumbers { C lr, weight_decay; };
template <class C> struct SgdCall {
    static constexpr int kGroups = static_cast<int>(3520 / sizeof(SgdNumbers<C>));
    TensorList list;
    const SgdNumbers<C>* live;  // null, or the groups' numbers in device memory
    C momentum, grad_scale;
    C nesterov, unused;  // 1 or 0; no holes anywhere: the emulator's compiler clears them together with their
                         // neighbours
    SgdNumbers<C> groups[kGroups];
};
void sgd_step(const SgdCall<float>& call, gpu::Stream stream);
void sgd_step(const SgdCall<double>& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
