#pragma once
// Internal: what the runtime needs from a device. One table per device type; the CUDA one is null in a build
// without CUDA. Sizes in bytes. All functions throw Error.
#include <cstddef>

#include "runtime/device.h"

namespace demi {

struct DeviceApi {
    int (*count)();
    void* (*allocate)(Device, size_t bytes);  // returns nullptr when memory is short
    void (*release)(Device, void* pointer);
    void (*copy)(void* dst, Device to, const void* src, Device from, size_t bytes);
    void (*synchronize)(Device);
    size_t (*free_bytes)(Device);
};

const DeviceApi&
device_api(Device device);  // throws "[device] this build has no CUDA ..." where there is none

}  // namespace demi
