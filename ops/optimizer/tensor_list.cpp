#include "ops/optimizer/tensor_list.h"

#include <algorithm>

#include "runtime/device_table.h"

namespace demi {

// A thread of the CPU takes about 64 Ki elements at a time, a block of a GPU 16 Ki.
TensorListBuilder::TensorListBuilder(Device device)
    : device_(device), chunk_size_(device.is_cpu() ? 65536 : 16384) {}

void TensorListBuilder::add(std::initializer_list<const void*> data, const Tensor& first,
                            const Tensor& second, int32_t group, const Tensor& factor) {
    ListEntry entry;
    std::memset(&entry, 0, sizeof entry);  // padding too: tables are compared byte by byte
    uintptr_t all = 0;
    size_t i = 0;
    for (const void* p : data) {
        entry.data[i++] = const_cast<void*>(p);
        all |= reinterpret_cast<uintptr_t>(p);
    }
    entry.count = first.numel();
    entry.dtype[0] = first.dtype();
    entry.dtype[1] = second.defined() ? second.dtype() : first.dtype();
    entry.aligned = all % 16 == 0;
    entry.group = group;
    entry.factor = factor.defined() ? factor.data<double>() : nullptr;
    for (int64_t c = 0; c * chunk_size_ < entry.count; ++c) {
        // Small tensors share a tile.
        if (chunks_.empty() || in_tile_ >= chunk_size_ / 2) {
            tiles_.push_back(chunks());
            in_tile_ = 0;
        }
        in_tile_ += std::min(chunk_size_, entry.count - c * chunk_size_);
        chunks_.push_back({static_cast<int32_t>(entries_.size()), static_cast<int32_t>(c)});
    }
    entries_.push_back(entry);
}

void TensorListBuilder::clear() { *this = TensorListBuilder(device_); }

TensorList TensorListBuilder::list() {
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    if (device_.is_cpu()) {
        tiles_.push_back(chunks());
        return {entries_.data(), chunks_.data(), tiles_.data(), chunks(), tiles, chunk_size_};
    }
    TableBuilder builder;
    const size_t entries = builder.add(entries_), chunk_table = builder.add(chunks_);
    table_ = builder.send(device_);
    return {table_at<ListEntry>(table_, entries),
            table_at<ListChunk>(table_, chunk_table),
            nullptr,
            chunks(),
            0,
            chunk_size_};
}

}  // namespace demi
