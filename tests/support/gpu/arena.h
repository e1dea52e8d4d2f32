#pragma once
// The emulated device memory: one range of addresses that the host can reach only inside a launch or a copy.
// Reading a device pointer on the host crashes here as it would on a machine with a GPU.
#include <cstddef>

#include "runtime/non_copyable.h"

namespace demi::gpu::emulation {

void* arena_allocate(size_t bytes);  // exact size, 0xFF bytes; nullptr when the range is used up
void arena_release(void* pointer);
size_t arena_free_bytes();
bool in_arena(const void* pointer);

// While one exists, the range can be read and written.
class DeviceAccess : NonCopyable {
  public:
    DeviceAccess();
    ~DeviceAccess();
};

}  // namespace demi::gpu::emulation
