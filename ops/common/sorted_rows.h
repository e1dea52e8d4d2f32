#pragma once
// Internal: a list of row numbers sorted on the GPU.
#include "ops/common/row_tiles_cuda.h"
#include "runtime/cuda/stream.h"
#include "runtime/tensor.h"

namespace demi {

// The memory lives as long as this.
class DeviceRows {
  public:
    explicit DeviceRows(const Tensor& list)
        : count_(list.numel()), sorted_(Tensor::empty({2, list.numel()}, DType::i64, list.device())) {
        if (count_ == 0) return;
        int64_t* to = sorted_.mutable_data<int64_t>();
        gpu_kernels::launch_sort_rows(list.data<int64_t>(), count_, to, to + count_,
                                      gpu::current_stream(list.device()));
    }
    gpu_kernels::SortedRows rows() const {
        if (count_ == 0) return {};
        return {sorted_.data<int64_t>(), sorted_.data<int64_t>() + count_, count_};
    }

  private:
    int64_t count_;
    Tensor sorted_;
};

}  // namespace demi
