#include "ops/index/positions_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/index/positions.h"

namespace demi {

void add_rows_cuda(Tensor& dx, const Tensor& dy, const Tensor& index, const AddRows& shape) {
    if (dx.numel() == 0) return;
    const Device device = dx.device();
    const int64_t bins = shape.s * shape.lists, count = shape.n * shape.lists;
    Tensor first = Tensor::empty({bins + 1}, DType::i64, device),
           next = Tensor::zeros({bins}, DType::i64, device);
    Tensor totals = Tensor::empty({gpu_kernels::scan_blocks(bins)}, DType::i64, device);
    Tensor list = Tensor::empty({count}, DType::i64, device), unordered = Tensor::like(list);
    gpu_kernels::find_positions(
        {static_cast<const int64_t*>(index.raw()), count, shape.n, shape.s, bins,
         static_cast<uint64_t*>(first.mutable_raw()), static_cast<int64_t*>(gpu_out(list)),
         static_cast<uint64_t*>(next.mutable_raw()), static_cast<uint64_t*>(totals.mutable_raw()),
         static_cast<int64_t*>(gpu_out(unordered))},
        gpu_stream(dx));
    gpu_kernels::add_rows(dx.dtype(),
                          {dy.raw(), dx.mutable_raw(), static_cast<const uint64_t*>(first.raw()),
                           static_cast<const int64_t*>(list.raw()), shape.a, bins, count, shape.width},
                          gpu_stream(dx));
}

}  // namespace demi
