#pragma once
// The caching allocator behind every Buffer. Blocks are 64-byte aligned, rounded up to a size class, and kept
// for reuse when released; the system is asked only when no cached block of the class is free.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi {

struct AllocatorStats {
    int64_t live_bytes = 0;      // asked for and not yet released
    int64_t peak_bytes = 0;      // highest live_bytes since the start or reset_peak()
    int64_t reserved_bytes = 0;  // held from the system, in use or cached
    int64_t live_blocks = 0;
    int64_t allocations = 0;         // calls so far
    int64_t system_allocations = 0;  // calls that had to ask the system
};

void* allocate(Device device, size_t bytes);  // nullptr for 0 bytes; throws Error when memory is short
void release(Device device, void* pointer, size_t bytes) noexcept;

AllocatorStats allocator_stats(Device device = Device::cpu());
void reset_peak(Device device = Device::cpu());
void empty_cache(Device device = Device::cpu());  // gives cached blocks back to the system
// What this thread has asked for so far, on any device, and how often.
int64_t thread_allocated_bytes();
int64_t thread_allocations();

// While it is open, memory on its device comes from here and returns here: what a captured step works on
// (runtime/captured_step.h) is used for nothing else before the pool is destroyed. Blocks from elsewhere that
// are released meanwhile are held until then as well. Blocks of this pool that are still in use then are
// freed by their last Buffer.
class PrivatePool : NonCopyable {
  public:
    explicit PrivatePool(Device device);
    ~PrivatePool();
    void open();  // one at a time on a device
    void close() noexcept;
    size_t bytes() const;  // held from the system

    struct State;

  private:
    Device device_;
    std::shared_ptr<State> state_;
};

bool allocator_caches();  // false under AddressSanitizer and GPU emulation, which want to see every free

}  // namespace demi
