#pragma once
// Until max and min call index_on(device).add_elements themselves.
#include "ops/index/index_kernels.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

Queue queue_of(Device device);

struct GatherKernels {
    void (*backward)(Tensor& dx, const Tensor& dy,
                     const Tensor& index) = nullptr;  // dx [a, s], dy and index [a, n]
};
inline constexpr GatherKernels gather_cpu{[](Tensor& dx, const Tensor& dy, const Tensor& index) {
    index_on(dx.device())
        .add_elements({ConstMem{dy.raw(), dy.dtype()}, Mem{dx.mutable_raw(), dx.dtype()},
                       index.data<int64_t>(), dx.size(0), dx.size(1), dy.size(1)},
                      queue_of(dx.device()));
}};
inline constexpr GatherKernels gather_cuda = gather_cpu;

}  // namespace demi
