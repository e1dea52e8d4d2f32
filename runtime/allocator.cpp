#include "runtime/allocator.h"

#include <bit>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/check.h"
#include "runtime/device_api.h"

namespace demi {

struct PrivatePool::State {
    struct Block {
        void* pointer;
        size_t size;
    };
    std::map<size_t, std::vector<void*>> free_blocks;
    std::vector<Block> held;  // of the common pool
    size_t bytes = 0;
    bool abandoned = false;  // its PrivatePool is gone, some blocks are not
};

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
    std::shared_ptr<PrivatePool::State> open;
    // Blocks in use that came from private pools.
    std::unordered_map<void*, std::shared_ptr<PrivatePool::State>> owners;

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
// More than an address space is never asked for. The sanitizer ends the process above a limit of its own.
constexpr size_t kMostBytes = size_t{1} << (kCaches ? 47 : 40);
void* take(std::map<size_t, std::vector<void*>>& free_blocks, size_t size) {
    const auto found = free_blocks.find(size);
    if (found == free_blocks.end() || found->second.empty()) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    return block;
}

thread_local int64_t asked_for = 0, asked_times = 0;

Pool& pool_of(Device device) {
    static Pool* pools =
        new Pool[1 + kMaxDevices];  // never destroyed: tensors may outlive static destruction
    if (device.is_cpu()) return pools[0];
    check(device.is_cuda(), "allocate", "needs a device of a known type: got ", device);
    check(device.index >= 0 && device.index < kMaxDevices, "allocate", "device index must be below ",
          kMaxDevices, ": got ", device);
    return pools[1 + device.index];
}

// The device's own release; the pool's mutex is held.
void give_back(Pool& pool, Device device, void* pointer, size_t size) {
    device_api(device).release(device, pointer);
    pool.stats.reserved_bytes -= static_cast<int64_t>(size);
}

}  // namespace

void* allocate(Device device, size_t bytes) {
    if (bytes == 0) return nullptr;
    Pool& pool = pool_of(device);
    const size_t size = bytes < kMostBytes ? size_class(bytes) : bytes;
    std::lock_guard lock(pool.mutex);
    AllocatorStats& stats = pool.stats;
    void* block = take(pool.open ? pool.open->free_blocks : pool.free_blocks, size);
    if (block == nullptr) {
        const DeviceApi& api = device_api(device);
        block = size < kMostBytes ? api.allocate(device, size) : nullptr;
        if (block == nullptr && size < kMostBytes) {
            pool.drop_cached(device);
            block = api.allocate(device, size);
        }
        check(block != nullptr, "allocate", "out of memory on ", device, ": asked for ", bytes, " bytes, ",
              stats.live_bytes, " in use, peak ", stats.peak_bytes, ", ", api.free_bytes(device), " free");
        stats.reserved_bytes += static_cast<int64_t>(size);
        ++stats.system_allocations;
        if (pool.open) pool.open->bytes += size;
    }
    if (pool.open) pool.owners.emplace(block, pool.open);
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
    if (const auto found = pool.owners.find(pointer); found != pool.owners.end()) [[unlikely]] {
        PrivatePool::State& owner = *found->second;
        if (owner.abandoned)
            give_back(pool, device, pointer, size);
        else
            owner.free_blocks[size].push_back(pointer);
        pool.owners.erase(found);
    } else if (pool.open) [[unlikely]] {
        pool.open->held.push_back({pointer, size});
    } else if (kCaches) {
        pool.free_blocks[size].push_back(pointer);
    } else {
        give_back(pool, device, pointer, size);
    }
}

PrivatePool::PrivatePool(Device device) : device_(device), state_(std::make_shared<State>()) {
    pool_of(device);  // refuses here what the destructor cannot
}

PrivatePool::~PrivatePool() {
    close();
    Pool& pool = pool_of(device_);
    std::lock_guard lock(pool.mutex);
    state_->abandoned = true;
    for (const auto& [size, blocks] : state_->free_blocks)
        for (void* block : blocks) give_back(pool, device_, block, size);
    for (const State::Block& block : state_->held) {
        if (kCaches)
            pool.free_blocks[block.size].push_back(block.pointer);
        else
            give_back(pool, device_, block.pointer, block.size);
    }
}

void PrivatePool::open() {
    Pool& pool = pool_of(device_);
    std::lock_guard lock(pool.mutex);
    check(!pool.open, "allocate", "another private pool is open on ", device_);
    pool.open = state_;
}

void PrivatePool::close() noexcept {
    Pool& pool = pool_of(device_);
    std::lock_guard lock(pool.mutex);
    if (pool.open == state_) pool.open = nullptr;
}

size_t PrivatePool::bytes() const {
    std::lock_guard lock(pool_of(device_).mutex);
    return state_->bytes;
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
