#pragma once
// Internal: builds the TensorList of a call, and the groups of numbers that its entries share.
#include <cstring>
#include <functional>
#include <initializer_list>
#include <vector>

#include "ops/optimizer/optimizer_kernels.h"
#include "runtime/capture.h"

namespace demi {

class TensorListBuilder {
  public:
    explicit TensorListBuilder(Device device);

    // Memory of one size; first and second give the dtypes of data[0] and data[1] (second may be undefined).
    // factor: undefined, or f64 [1].
    void add(std::initializer_list<const void*> data, const Tensor& first, const Tensor& second,
             int32_t group = 0, const Tensor& factor = Tensor());
    Device device() const { return device_; }
    bool empty() const { return entries_.empty(); }
    int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }
    void clear();

    // Valid while the builder lives and is not changed.
    TensorList list();

  private:
    Device device_;
    int64_t chunk_size_, in_tile_ = 0;
    std::vector<ListEntry> entries_;
    std::vector<ListChunk> chunks_;
    std::vector<int64_t> tiles_;
    Tensor table_;  // the three in a GPU's memory
};

// The groups of a step: tensors with the same numbers share one. In a captured step each tensor is a group of its own,
// whose numbers are made again before each replay.
template <class Numbers> class NumberGroups {
  public:
    // numbers(replay) gives the tensor's numbers. -1: all groups are taken.
    template <class F> int32_t add(Device device, F numbers) {
        if (capturing(device)) {
            captured_.push_back(numbers);
            return static_cast<int32_t>(captured_.size() - 1);
        }
        const Numbers n = numbers(false);
        for (size_t g = 0; g < groups_.size(); ++g)
            if (std::memcmp(&groups_[g], &n, sizeof n) == 0) return static_cast<int32_t>(g);
        if (groups_.size() == kMaxListGroups) return -1;
        groups_.push_back(n);
        return static_cast<int32_t>(groups_.size() - 1);
    }
    const Numbers* data() const { return groups_.data(); }
    int count() const { return static_cast<int>(groups_.size()); }
    void clear() { groups_.clear(); }

    // Null outside of a captured step. The record keeps what the closures hold.
    const Numbers* live(Device device) const {
        if (captured_.empty()) return nullptr;
        const auto fill = [all = captured_, replay = false](void* host) mutable {
            for (size_t i = 0; i < all.size(); ++i) static_cast<Numbers*>(host)[i] = all[i](replay);
            replay = true;
        };
        const auto bytes = static_cast<int64_t>(captured_.size() * sizeof(Numbers));
        return static_cast<const Numbers*>(live_tensor({bytes}, DType::u8, device, fill).raw());
    }

  private:
    std::vector<Numbers> groups_;
    std::vector<std::function<Numbers(bool replay)>> captured_;
};

}  // namespace demi
