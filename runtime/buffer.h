#pragma once
// Buffer: a block of device memory shared by all Tensors that view it, with a version that counts writes.
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi {

class Buffer : NonCopyable {
  public:
    Buffer(Device device, size_t bytes);
    ~Buffer();

    Device device() const { return device_; }
    size_t bytes() const { return bytes_; }
    const void* data() const { return data_; }
    void* mutable_data() {
        version_.fetch_add(1, std::memory_order_relaxed);
        return data_;
    }
    // The same bytes in memory of another device: every Tensor that views the buffer is there afterwards.
    // Counts as a write. On that device already: nothing happens.
    void move_to(Device device);
    // drop() gives the memory back, restore() takes some again, whose contents are then for the caller to put back: to
    // those who view the buffer nothing has happened. In between nothing may read it.
    void drop();
    void restore();
    void fill_restored(const void* data,
                       size_t bytes);  // from memory of the same device; no write in the sense of version()
    bool dropped() const { return data_ == nullptr && bytes_ > 0; }
    bool was_dropped() const { return was_dropped_; }  // once, whether restored or not
    uint64_t version() const { return version_.load(std::memory_order_relaxed); }
    uint64_t id() const { return id_; }  // never reused, unlike the address

  private:
    Device device_;
    size_t bytes_;
    void* data_;
    bool was_dropped_ = false;
    std::atomic<uint64_t> version_{0};
    uint64_t id_;
};

}  // namespace demi
