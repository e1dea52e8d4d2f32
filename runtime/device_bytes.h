#pragma once
// Internal: device_table() (runtime/device_table.h) for kernel files, which know no tensors.
#include "runtime/backends.h"
#include "runtime/non_copyable.h"

namespace demi {

// Bytes of the host in a GPU's memory, 64-byte aligned, for the kernels that are launched in its lifetime.
// Bytes that were sent before are not sent again.
class DeviceBytes : NonCopyable {
  public:
    DeviceBytes() = default;
    ~DeviceBytes();
    const void* send(const void* bytes, size_t count, Queue queue);  // once

  private:
    void* tensor_ = nullptr;
};

}  // namespace demi
