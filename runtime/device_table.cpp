#include <cstring>
#include <mutex>
#include <string_view>

#include "runtime/capture.h"
#include "runtime/device_bytes.h"
#include "runtime/device_table.h"
#ifdef DEMI_CUDA
#include "runtime/cuda/pinned.h"
#endif

namespace demi {
namespace {

struct Entry {
    Device device;
    std::vector<char> bytes;
    Tensor tensor;
    uint64_t used;
};

struct Tables {
    static constexpr size_t kMost = 64;
    std::mutex mutex;
    std::vector<Entry> entries;
    uint64_t clock = 0;
};

// Never destroyed: at the program's end the device may be gone already.
Tables& tables() {
    static Tables* const all = new Tables;
    return *all;
}

}  // namespace

Tensor device_table(Device device, const void* bytes, size_t count) {
    if (device.is_cpu()) {
        Tensor table = Tensor::empty({static_cast<int64_t>(count)}, DType::u8);
        if (count > 0) std::memcpy(table.mutable_raw(), bytes, count);
        return table;
    }
    if (capturing(device)) return constant_bytes(device, bytes, count);
    Tables& t = tables();
    const std::lock_guard lock(t.mutex);
    Entry* oldest = nullptr;
    for (Entry& e : t.entries) {
        if (e.device == device && e.bytes.size() == count &&
            (count == 0 || std::memcmp(e.bytes.data(), bytes, count) == 0)) {
            e.used = ++t.clock;
            return e.tensor;
        }
        if (oldest == nullptr || e.used < oldest->used) oldest = &e;
    }
    const char* first = static_cast<const char*>(bytes);
    Entry entry{device,
                {first, first + count},
                Tensor::empty({static_cast<int64_t>(count)}, DType::u8, device),
                ++t.clock};
#ifdef DEMI_CUDA
    if (count > 0) gpu::upload(entry.tensor.mutable_raw(), bytes, count, device);
#endif
    const Tensor tensor = entry.tensor;
    if (t.entries.size() < Tables::kMost)
        t.entries.push_back(std::move(entry));
    else
        *oldest = std::move(entry);
    return tensor;
}

const void* DeviceBytes::send(const void* bytes, size_t count, Queue queue) {
    auto* const tensor = new Tensor(device_table(Device::cuda(queue.device), bytes, count));
    tensor_ = tensor;
    return tensor->raw();
}
DeviceBytes::~DeviceBytes() { delete static_cast<Tensor*>(tensor_); }

size_t TableBuilder::add(const void* bytes, size_t count) {
    const size_t at = (bytes_.size() + 15) / 16 * 16;
    bytes_.resize(at + count);
    if (count > 0) std::memcpy(bytes_.data() + at, bytes, count);
    return at;
}

}  // namespace demi
