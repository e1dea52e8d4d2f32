#include "tests/support/gpu/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "runtime/check.h"
#include "tests/support/gpu/block.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes) ((void)(begin), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) ((void)(begin), (void)(bytes))
#endif

namespace demi::gpu::emulation {
namespace {

constexpr size_t kArenaBytes = size_t{64} << 30, kAlignment = 256, kGapBytes = 256;
constexpr size_t kQuarantineBytes = size_t{8} << 20;  // how much freed memory is kept back from reuse

struct Arena {
    std::recursive_mutex mutex;
    char* begin = nullptr;
    size_t used = 0;  // everything above was never handed out
    size_t freed_bytes = 0;
    int depth = 0;
    int key = -1;
    std::map<void*, size_t> blocks;             // live
    std::map<size_t, std::deque<void*>> freed;  // by size, the oldest first

    Arena() {
        void* memory =
            mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        check(memory != MAP_FAILED, "gpu emulation", "no address space for the device");
        begin = static_cast<char*>(memory);
        key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
        if (key >= 0 && pkey_mprotect(begin, kArenaBytes, PROT_READ | PROT_WRITE, key) != 0) key = -1;
    }
    // Memory protection keys cost next to nothing; where the processor has none, page rights
    // change with every launch.
    void open(bool yes) {
        if (key >= 0) {
            pkey_set(key, yes ? 0 : PKEY_DISABLE_ACCESS);
            return;
        }
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        if (used > 0)
            mprotect(begin, (used + page - 1) / page * page, yes ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
};

Arena& arena() {
    static Arena* instance = new Arena;  // never destroyed: tensors may outlive static destruction
    return *instance;
}

}  // namespace

DeviceAccess::DeviceAccess() {
    arena().mutex.lock();
    if (arena().depth++ == 0) arena().open(true);
}

DeviceAccess::~DeviceAccess() {
    if (--arena().depth == 0) arena().open(false);
    arena().mutex.unlock();
}

void* arena_allocate(size_t bytes) {
    Arena& a = arena();
    DeviceAccess access;
    char* block = nullptr;
    std::deque<void*>& old = a.freed[bytes];
    const size_t room = (bytes + kGapBytes + kAlignment - 1) / kAlignment * kAlignment;
    if (!old.empty() && (a.freed_bytes > kQuarantineBytes || a.used + room > kArenaBytes)) {
        block = static_cast<char*>(old.front());
        old.pop_front();
        a.freed_bytes -= bytes;
    } else {
        if (room < bytes || a.used + room > kArenaBytes) return nullptr;
        block = a.begin + a.used;
        a.used += room;
        a.open(true);
        ASAN_POISON_MEMORY_REGION(block, room);
    }
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    std::memset(block, 0xFF, bytes);
    a.blocks[block] = bytes;
    return block;
}

void arena_release(void* pointer) {
    Arena& a = arena();
    DeviceAccess access;
    const auto found = a.blocks.find(pointer);
    check(found != a.blocks.end(), "gpu emulation", "memory is released that was never allocated");
    ASAN_POISON_MEMORY_REGION(pointer, found->second);
    a.freed[found->second].push_back(pointer);
    a.freed_bytes += found->second;
    a.blocks.erase(found);
}

size_t arena_free_bytes() { return kArenaBytes - arena().used; }

bool in_arena(const void* pointer) {
    const auto at = reinterpret_cast<uintptr_t>(pointer), begin = reinterpret_cast<uintptr_t>(arena().begin);
    return at >= begin && at < begin + kArenaBytes;
}

void check_parameters(const char* name, const void* parameters, size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
        uintptr_t word = 0;
        std::memcpy(&word, static_cast<const char*>(parameters) + at, sizeof word);
        // Heap, stack and code lie above; below are numbers such as a mask without bounds,
        // and a sanitizer's shadow.
        if (word < uintptr_t{1} << 45 || word >> 47 != 0 || in_arena(reinterpret_cast<void*>(word))) continue;
        unsigned char resident = 0;  // no address at all looks like a number: then mincore refuses it
        if (mincore(reinterpret_cast<void*>(word / page * page), page, &resident) == 0)
            fail("gpu emulation", short_name(name), ": byte ", at,
                 " of the parameters holds an address of host memory");
    }
}

}  // namespace demi::gpu::emulation
