#include "examples/common/device.h"

#include <cstdio>

#include "runtime/check.h"

namespace demi::examples {

Device usable_device(const std::string& name) {
    const Device device = Device::parse(name);
    const std::string why = built_with_cuda() ? why_no_cuda() : "";
    if (name == "auto" && !why.empty()) {
        static const bool said = std::fprintf(stderr, "device: cpu, since %s\n", why.c_str()) > 0;
        (void)said;
    }
    check(device.is_cpu() || device_count(device.type) > 0, "device", "there is no ", device, ": ",
          why_no_cuda());
    check(device_count(device.type) > device.index, "device", "there is no ", device,
          " on this machine: it has ", device_count(device.type));
    return device;
}

}  // namespace demi::examples
