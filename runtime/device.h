#pragma once
// Where memory lives and kernels run. Device::cpu() always works; Device::cuda(i)
// needs a CUDA build and a GPU.
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

namespace demi {

enum class DeviceType : uint8_t { cpu, cuda };

struct Device {
    DeviceType type = DeviceType::cpu;
    int8_t index = 0;

    static constexpr Device cpu() { return {}; }
    static constexpr Device cuda(int index = 0) {  // index 0 to 127; throws otherwise
        if (index < 0 || index > INT8_MAX) no_index(index);
        return {DeviceType::cuda, static_cast<int8_t>(index)};
    }
    // "cpu", "cuda", "cuda:1"; "auto" gives the first GPU where there is one, else the CPU.
    static Device parse(std::string_view text);

    constexpr bool is_cpu() const { return type == DeviceType::cpu; }
    constexpr bool is_cuda() const { return type == DeviceType::cuda; }
    constexpr bool operator==(const Device&) const = default;

  private:
    [[noreturn]] static void no_index(int index);
};

std::string name(Device device);
std::ostream& operator<<(std::ostream& out, Device device);

bool built_with_cuda();
int device_count(DeviceType type);  // 0 GPUs where there is no driver; never throws
std::string why_no_cuda();          // "[cuda] this machine has no driver", ...; "" where a GPU can be used
void synchronize(Device device);    // waits for the device's queued work; nothing to do on the CPU

}  // namespace demi
