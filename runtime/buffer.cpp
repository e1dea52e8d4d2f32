#include "runtime/buffer.h"

#include <utility>

#include "runtime/allocator.h"
#include "runtime/device_api.h"

namespace demi {

static uint64_t next_id() {
    static std::atomic<uint64_t> counter{1};
    return counter.fetch_add(1, std::memory_order_relaxed);
}

Buffer::Buffer(Device device, size_t bytes)
    : device_(device), bytes_(bytes), data_(allocate(device, bytes)), id_(next_id()) {}

Buffer::~Buffer() {
    if (data_ != nullptr) release(device_, data_, bytes_);
}

void Buffer::drop() {
    release(device_, data_, bytes_);
    data_ = nullptr;
    was_dropped_ = true;
}

void Buffer::restore() {
    if (dropped()) data_ = allocate(device_, bytes_);
}

void Buffer::fill_restored(const void* data, size_t bytes) {
    if (bytes > 0) device_api(device_).copy(data_, device_, data, device_, bytes);
}

void Buffer::move_to(Device device) {
    if (device == device_) return;
    Buffer other(device, bytes_);
    const DeviceApi& api = device_api(device.is_cpu() ? device_ : device);
    if (bytes_ > 0) api.copy(other.data_, device, data_, device_, bytes_);
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    version_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace demi
