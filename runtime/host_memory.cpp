#include "runtime/host_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace demi {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kShares = false;  // every block by itself, with the sanitizer's guards around it
#else
constexpr bool kShares = true;
#endif

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlab = 8 * kHugePage;

void* allocate_huge(size_t bytes) {
    void* p = nullptr;
    if (posix_memalign(&p, kHugePage, bytes) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
    madvise(p, bytes / 4096 * 4096, MADV_HUGEPAGE);  // a wish: refused, small pages do
#endif
    return p;
}

// Blocks smaller than a huge page, cut one after another from slabs. A slab goes back when all of its blocks
// have: the allocator above keeps and reuses blocks, so that is rare.
class Slabs {
  public:
    void* take(size_t bytes) {
        const std::lock_guard lock(mutex_);
        if (current_ == nullptr || used_ + bytes > kSlab) {
            char* slab = static_cast<char*>(allocate_huge(kSlab));
            if (slab == nullptr) return nullptr;
            drop_if_empty(current_);
            current_ = slab;
            used_ = 0;
            live_[slab] = 0;
        }
        void* p = current_ + used_;
        used_ += bytes;
        ++live_[current_];
        return p;
    }

    // Whether it was one of these blocks.
    bool give_back(void* pointer) {
        const std::lock_guard lock(mutex_);
        const auto next = live_.upper_bound(static_cast<char*>(pointer));
        if (next == live_.begin()) return false;
        const auto found = std::prev(next);
        if (static_cast<char*>(pointer) >= found->first + kSlab) return false;
        --found->second;
        if (found->first != current_)
            drop_if_empty(found->first);
        else if (found->second == 0)
            used_ = 0;
        return true;
    }

  private:
    void drop_if_empty(char* slab) {
        if (slab == nullptr || live_[slab] != 0) return;
        live_.erase(slab);
        std::free(slab);
    }

    std::mutex mutex_;
    char* current_ = nullptr;
    size_t used_ = 0;
    std::map<char*, size_t> live_;  // blocks in use, by the slab's address
};

Slabs& slabs() {
    static Slabs* instance = new Slabs;  // never destroyed: threads may end after static destruction
    return *instance;
}

}  // namespace

void* host_allocate(size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (!kShares) return std::aligned_alloc(64, bytes);
    return bytes >= kHugePage ? allocate_huge(bytes) : slabs().take(bytes);
}

void host_release(void* pointer) noexcept {
    if (pointer == nullptr || (kShares && slabs().give_back(pointer))) return;
    std::free(pointer);
}

HostWorkspace::~HostWorkspace() { host_release(data_); }

float* HostWorkspace::reserve(int64_t floats) {
    if (floats <= size_) return data_;
    host_release(std::exchange(data_, nullptr));
    size_ = 0;
    data_ = static_cast<float*>(host_allocate(static_cast<size_t>(floats) * sizeof(float)));
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = floats;
    return data_;
}

}  // namespace demi
