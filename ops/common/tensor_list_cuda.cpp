#include <cstring>

#include "ops/common/tensor_list.h"

namespace demi {

using gpu_kernels::kListChunk;

void TensorListBuilder::add(std::initializer_list<const void*> data, const Tensor& first,
                            const Tensor& second, int32_t group, const Tensor& factor) {
    gpu_kernels::ListEntry entry;
    std::memset(&entry, 0, sizeof entry);  // padding too: tables are compared byte by byte
    uintptr_t all = 0;
    size_t i = 0;
    for (const void* p : data) {
        entry.data[i++] = const_cast<void*>(p);
        all |= reinterpret_cast<uintptr_t>(p);
    }
    entry.count = first.numel();
    entry.type[0] = first.dtype();
    entry.type[1] = second.defined() ? second.dtype() : entry.type[0];
    entry.aligned = all % 16 == 0;
    entry.group = group;
    entry.factor = factor.defined() ? factor.data<double>() : nullptr;
    for (int64_t c = 0; c * kListChunk < entry.count; ++c)
        chunks_.push_back({static_cast<int32_t>(entries_.size()), static_cast<int32_t>(c)});
    entries_.push_back(entry);
}

TensorListBuilder::Sent TensorListBuilder::send(Device device) const {
    TableBuilder builder;
    const size_t entries = builder.add(entries_), chunks = builder.add(chunks_);
    Tensor table = builder.send(device);
    const gpu_kernels::TensorList list{table_at<gpu_kernels::ListEntry>(table, entries),
                                       table_at<gpu_kernels::ListChunk>(table, chunks), this->chunks()};
    return {std::move(table), list};
}

}  // namespace demi
