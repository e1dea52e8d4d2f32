#include "runtime/buffer.h"

#include "runtime/allocator.h"

namespace demi {

static uint64_t next_id() {
    static std::atomic<uint64_t> counter{1};
    return counter.fetch_add(1, std::memory_order_relaxed);
}

Buffer::Buffer(Device device, size_t bytes)
    : device_(device), bytes_(bytes), data_(allocate(device, bytes)), id_(next_id()) {}

Buffer::~Buffer() { release(device_, data_, bytes_); }

}  // namespace demi
