#include "ops/index/checked_index.h"

#include "ops/index/row_index.h"

namespace demi {

Tensor checked_index(std::string_view op, const Tensor& index, int64_t size, Device device) {
    check(index.defined() && (index.dtype() == DType::i64 || index.dtype() == DType::i32), op,
          "index must be an i64 or i32 tensor: got ", index);
    if (index.device() == device && rows_trusted(index, size)) return index;
    const Tensor host = index.to(Device::cpu()).to(DType::i64).contiguous();
    const int64_t* at = host.data<int64_t>();
    for (int64_t i = 0; i < host.numel(); ++i)
        check(0 <= at[i] && at[i] < size, op, "index must be in [0, ", size, "): got ", at[i],
              " at position ", i);
    const Tensor there = index.device() == device ? index.to(DType::i64).contiguous() : host.to(device);
    trust_rows(there, size);
    return there;
}

}  // namespace demi
