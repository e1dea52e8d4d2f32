#pragma once
// The launch behind adamw: data[0] parameter, [1] gradient, [2] and [3] the moments. C is float, or double
// for f64 tensors.
#include "ops/common/tensor_list_cuda.h"

namespace demi::gpu_kernels {

template <class C> struct AdamwNumbers {
    C decay, beta1_rest, beta2, beta2_rest, step_size, root_correction, eps, grad_scale;
};
template <class C> struct AdamwCall {
    static constexpr int kGroups = static_cast<int>(3520 / sizeof(AdamwNumbers<C>));
    TensorList list;
    const AdamwNumbers<C>* live;  // null, or the groups' numbers in device memory
    AdamwNumbers<C> groups[kGroups];
};
void adamw_step(const AdamwCall<float>& call, gpu::Stream stream);
void adamw_step(const AdamwCall<double>& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
