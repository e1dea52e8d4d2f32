#include "runtime/allocator.h"

#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "runtime/check.h"
#include "runtime/device_api.h"

namespace demi {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(DEMI_GPU_EMULATION)
constexpr bool kCaches = false;
#else
constexpr bool kCaches = true;
#endif

// Multiples of 64 up to 512, then eight steps per power of two: at most 12.5 % is lost to rounding.
size_t size_class(size_t bytes) {
    if (!kCaches) return bytes;
    if (bytes <= 512) return (bytes + 63) / 64 * 64;
    const size_t step = std::bit_floor(bytes - 1) / 8;
    return (bytes + step - 1) / step * step;
}

struct Pool {
    std::mutex mutex;
    std::map<size_t, std::vector<void*>> free_blocks;
    AllocatorStats stats;

    void drop_cached(Device device) {
        const DeviceApi& api = device_api(device);
        for (auto& [size, blocks] : free_blocks) {
            for (void* block : blocks) api.release(device, block);
            stats.reserved_bytes -= static_cast<int64_t>(size * blocks.size());
            blocks.clear();
        }
    }
};

constexpr int kMaxDevices = 16;
thread_local int64_t asked_for = 0, asked_times = 0;

Pool& pool_of(Device device) {
    static Pool* pools =
        new Pool[1 + kMaxDevices];  // never destroyed: tensors may outlive static destruction
    if (device.is_cpu()) return pools[0];
    check(device.index >= 0 && device.index < kMaxDevices, "allocate", "device index must be below ",
          kMaxDevices, ": got ", device);
    return pools[1 + device.index];
}

}  // namespace

void* allocate(Device device, size_t bytes) {
    if (bytes == 0) return nullptr;
    Pool& pool = pool_of(device);
    const size_t size = size_class(bytes);
    std::lock_guard lock(pool.mutex);
    AllocatorStats& stats = pool.stats;
    void* block = nullptr;
    if (auto found = pool.free_blocks.find(size); found != pool.free_blocks.end() && !found->second.empty()) {
        block = found->second.back();
        found->second.pop_back();
    } else {
        const DeviceApi& api = device_api(device);
        block = api.allocate(device, size);
        if (block == nullptr) {
            pool.drop_cached(device);
            block = api.allocate(device, size);
        }
        check(block != nullptr, "allocate", "out of memory on ", device, ": asked for ", bytes, " bytes, ",
              stats.live_bytes, " in use, peak ", stats.peak_bytes, ", ", api.free_bytes(device), " free");
        stats.reserved_bytes += static_cast<int64_t>(size);
        ++stats.system_allocations;
    }
    ++stats.allocations;
    ++stats.live_blocks;
    stats.live_bytes += static_cast<int64_t>(bytes);
    asked_for += static_cast<int64_t>(bytes);
    ++asked_times;
    if (stats.live_bytes > stats.peak_bytes) stats.peak_bytes = stats.live_bytes;
    return block;
}

void release(Device device, void* pointer, size_t bytes) noexcept {
    if (pointer == nullptr) return;
    Pool& pool = pool_of(device);
    const size_t size = size_class(bytes);
    std::lock_guard lock(pool.mutex);
    pool.stats.live_bytes -= static_cast<int64_t>(bytes);
    --pool.stats.live_blocks;
    if (kCaches) {
        pool.free_blocks[size].push_back(pointer);
    } else {
        device_api(device).release(device, pointer);
        pool.stats.reserved_bytes -= static_cast<int64_t>(size);
    }
}

AllocatorStats allocator_stats(Device device) {
    Pool& pool = pool_of(device);
    std::lock_guard lock(pool.mutex);
    return pool.stats;
}

void reset_peak(Device device) {
    Pool& pool = pool_of(device);
    std::lock_guard lock(pool.mutex);
    pool.stats.peak_bytes = pool.stats.live_bytes;
}

void empty_cache(Device device) {
    Pool& pool = pool_of(device);
    std::lock_guard lock(pool.mutex);
    pool.drop_cached(device);
}

int64_t thread_allocated_bytes() { return asked_for; }
int64_t thread_allocations() { return asked_times; }

bool allocator_caches() { return kCaches; }

}  // namespace demi
