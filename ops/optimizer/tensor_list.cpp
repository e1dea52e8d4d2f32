#include "ops/optimizer/tensor_list.h"

#include <algorithm>

#include "runtime/device_table.h"

namespace demi {

void check_parameter(const Op& op, size_t index, const Tensor& param) {
    op.check(param.defined() && is_float(param.dtype()) && param.is_contiguous(), "parameter ", index,
             " must be a contiguous float tensor: got ", param);
}

void check_beside(const Op& op, size_t index, std::string_view name, const Tensor& param,
                  const Tensor& other) {
    const bool fits = other.shape() == param.shape() && other.device() == param.device() &&
                      is_float(other.dtype()) &&
                      (other.dtype() == DType::f64) == (param.dtype() == DType::f64);
    op.check(fits, name, " ", index, " must have shape and device of its parameter, ", param,
             " (and f64 only beside f64): got ", other);
}

void check_state(const Op& op, size_t index, std::string_view name, const Tensor& param,
                 const Tensor& state) {
    const DType dtype = compute_dtype(param.dtype());
    const bool fits = state.defined() && state.shape() == param.shape() && state.device() == param.device() &&
                      state.dtype() == dtype && state.is_contiguous();
    op.check(fits, name, " of parameter ", index, " must be contiguous ", dtype, " like ", param, ": got ",
             state);
}

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
