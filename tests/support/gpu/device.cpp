// The device table of the emulated GPU: everything happens at once, in order.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/capture.h"
#include "runtime/check.h"
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pinned.h"
#include "runtime/cuda/stream.h"
#include "runtime/device_api.h"
#include "tests/support/gpu/arena.h"
#include "tests/support/gpu/record.h"

namespace demi {

using gpu::emulation::DeviceAccess;

extern const DeviceApi cuda_device_api;
const DeviceApi cuda_device_api{
    [] {  // so many for the ranks of one machine; all are the same memory
        const char* count = std::getenv("DEMI_EMULATED_GPUS");
        return count == nullptr ? 1 : std::max(1, std::atoi(count));
    },
    [](Device, size_t bytes) { return gpu::emulation::arena_allocate(bytes); },
    [](Device, void* pointer) { gpu::emulation::arena_release(pointer); },
    [](void* dst, Device to, const void* src, Device from, size_t bytes) {
        if (bytes == 0) return;
        if (from.is_cpu()) return gpu::upload(dst, src, bytes, to);
        if (to.is_cpu()) return gpu::read_back(dst, src, bytes, from);
        gpu::emulation::run_or_record([=] {
            DeviceAccess access;
            std::memcpy(dst, src, bytes);
        });
    },
    [](Device device) { refuse_in_capture(device, "wait for"); },
    [](Device) { return gpu::emulation::arena_free_bytes(); },
};

std::string cuda_missing_reason() { return ""; }

namespace gpu {

Stream current_stream(Device) { return nullptr; }

void read_back(void* host, const void* device, size_t bytes, Device where) {
    refuse_in_capture(where, "read values back from");
    DeviceAccess access;
    if (bytes > 0) std::memcpy(host, device, bytes);
}
void upload(void* device, const void* host, size_t bytes, Device where) {
    refuse_in_capture(where, "send values to");
    DeviceAccess access;
    if (bytes > 0) std::memcpy(device, host, bytes);
}
void upload_beside(void* device, const void* host, size_t bytes, Device where) {
    upload(device, host, bytes, where);
}
void fill_bytes(void* device, int value, size_t bytes, Device) {
    if (bytes == 0) return;
    emulation::run_or_record([=] {
        DeviceAccess access;
        std::memset(device, value, bytes);
    });
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
