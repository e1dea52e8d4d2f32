#pragma once
// Internal: the list of tensors behind a launch over many of them.
#include <initializer_list>
#include <vector>

#include "ops/common/device_table.h"
#include "ops/common/gpu_tensor.h"
#include "ops/common/tensor_list_cuda.h"

namespace demi {

class TensorListBuilder {
  public:
    // Memory of one size that the kernel sees as data[0], data[1], ...; first and second give the types of
    // these two (second may be undefined). factor: undefined, or f64 [1].
    void add(std::initializer_list<const void*> data, const Tensor& first, const Tensor& second,
             int32_t group = 0, const Tensor& factor = Tensor());
    bool empty() const { return entries_.empty(); }
    int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }

    struct Sent {
        Tensor table;  // keep until the launch
        gpu_kernels::TensorList list;
    };
    Sent send(Device device) const;

  private:
    std::vector<gpu_kernels::ListEntry> entries_;
    std::vector<gpu_kernels::ListChunk> chunks_;
};

}  // namespace demi
