// The device table of the emulated GPU: everything happens at once, in order.
#include <cstring>

#include "runtime/check.h"
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pinned.h"
#include "runtime/cuda/stream.h"
#include "runtime/device_api.h"
#include "tests/support/gpu/arena.h"

namespace demi {

using gpu::emulation::DeviceAccess;

extern const DeviceApi cuda_device_api;
const DeviceApi cuda_device_api{
    [] { return 1; },
    [](Device, size_t bytes) { return gpu::emulation::arena_allocate(bytes); },
    [](Device, void* pointer) { gpu::emulation::arena_release(pointer); },
    [](void* dst, Device, const void* src, Device, size_t bytes) {
        DeviceAccess access;
        if (bytes > 0) std::memcpy(dst, src, bytes);
    },
    [](Device) {},
    [](Device) { return gpu::emulation::arena_free_bytes(); },
};

std::string cuda_missing_reason() { return ""; }

namespace gpu {

Stream current_stream(Device) { return nullptr; }

void read_back(void* host, const void* device, size_t bytes, Device) {
    DeviceAccess access;
    if (bytes > 0) std::memcpy(host, device, bytes);
}
void upload(void* device, const void* host, size_t bytes, Device) {
    DeviceAccess access;
    if (bytes > 0) std::memcpy(device, host, bytes);
}
void fill_bytes(void* device, int value, size_t bytes, Device) {
    DeviceAccess access;
    if (bytes > 0) std::memset(device, value, bytes);
}

void check_call(int, const char*) {}

Event::Event(Device device) : device_(device) {}
Event::~Event() = default;
void Event::record() { handle_ = &device_; }
void Event::wait() const {
    check(handle_ != nullptr, "cuda", "an event is waited for that was never recorded");
}
double Event::milliseconds_since(const Event& begin) const {
    begin.wait();
    wait();
    return 0;
}

}  // namespace gpu
}  // namespace demi
