#include "runtime/device.h"

#include <unistd.h>

#include <charconv>
#include <cstring>

#include "runtime/check.h"
#include "runtime/device_api.h"
#include "runtime/host_memory.h"

namespace demi {

#ifdef DEMI_CUDA
extern const DeviceApi cuda_device_api;
std::string cuda_missing_reason();
#endif

namespace {

int cpu_count() { return 1; }
void* cpu_allocate(Device, size_t bytes) { return host_allocate(bytes); }
void cpu_release(Device, void* pointer) { host_release(pointer); }
void cpu_copy(void* dst, Device, const void* src, Device, size_t bytes) {
    if (bytes > 0) std::memcpy(dst, src, bytes);
}
void cpu_synchronize(Device) {}
size_t cpu_free_bytes(Device) {
    return static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

constexpr DeviceApi cpu_device_api{cpu_count, cpu_allocate,    cpu_release,
                                   cpu_copy,  cpu_synchronize, cpu_free_bytes};

}  // namespace

const DeviceApi& device_api(Device device) {
    if (device.is_cpu()) return cpu_device_api;
#ifdef DEMI_CUDA
    return cuda_device_api;
#else
    fail("device", "this build has no CUDA (configure with -Dcuda=enabled): got ", device);
#endif
}

bool built_with_cuda() {
#ifdef DEMI_CUDA
    return true;
#else
    return false;
#endif
}

int device_count(DeviceType type) {
    if (type == DeviceType::cuda && !built_with_cuda()) return 0;
    return device_api({type, 0}).count();
}

std::string why_no_cuda() {
#ifdef DEMI_CUDA
    const std::string reason = cuda_missing_reason();
    return reason.empty() ? "" : "[cuda] " + reason;
#else
    return "[cuda] this build has no CUDA (configure with -Dcuda=enabled)";
#endif
}

void synchronize(Device device) { device_api(device).synchronize(device); }

std::string name(Device device) {
    return device.is_cpu() ? std::string("cpu") : "cuda:" + std::to_string(device.index);
}

std::ostream& operator<<(std::ostream& out, Device device) { return out << name(device); }

void Device::no_index(int index) {
    fail("device", "index of a GPU must be from 0 to ", INT8_MAX, ": got ", index);
}

Device Device::parse(std::string_view text) {
    if (text == "cpu") return cpu();
    if (text == "auto") return device_count(DeviceType::cuda) > 0 ? cuda() : cpu();
    if (text == "cuda") return cuda();
    if (text.starts_with("cuda:")) {
        int index = -1;
        const auto [end, error] = std::from_chars(text.data() + 5, text.data() + text.size(), index);
        if (error == std::errc() && end == text.data() + text.size() && index >= 0 && index < 128)
            return cuda(index);
    }
    fail("device", "needs auto, cpu, cuda or cuda:N: got '", text, "'");
}

}  // namespace demi
