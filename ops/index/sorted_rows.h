#pragma once
// Internal: a list of row numbers sorted on the GPU.
#include <algorithm>

#include "ops/index/row_tiles_cuda.h"
#include "runtime/cuda/stream.h"
#include "runtime/tensor.h"

namespace demi {

// The list names rows below `bins`. The memory lives as long as this.
class DeviceRows {
  public:
    DeviceRows(const Tensor& list, int64_t bins) : count_(list.numel()) {
        if (count_ == 0) return;
        // Few rows, as ever: where each one's uses begin costs no more than sorting.
        const bool all = bins <= 4 * std::max<int64_t>(count_, 1024);
        memory_ = Tensor::empty({2 * count_ + (all ? bins + 1 : 0)}, DType::i64, list.device());
        int64_t* to = memory_.mutable_data<int64_t>();
        sorted_ = {to, to + count_, count_, all ? to + 2 * count_ : nullptr};
        gpu_kernels::launch_sort_rows(list.data<int64_t>(), count_, to, to + count_,
                                      all ? to + 2 * count_ : nullptr, bins,
                                      gpu::current_stream(list.device()));
    }
    const gpu_kernels::SortedRows& rows() const { return sorted_; }

  private:
    int64_t count_;
    Tensor memory_;
    gpu_kernels::SortedRows sorted_;
};

}  // namespace demi
