// Asynchronous copies, delayed until the wait that covers them; alignment and address checks.
#include <cstring>
#include <string>

#include "tests/support/gpu/block.h"

namespace demi::gpu::emulation {

void check_aligned(const void* p, size_t alignment, const char* what) {
    if (reinterpret_cast<uintptr_t>(p) % alignment != 0)
        misuse(std::string(what) + " needs an address that is a multiple of " + std::to_string(alignment));
}

void check_shared(const void* p, size_t bytes, const char* what) {
    check_aligned(p, 16, what);
    const auto begin = reinterpret_cast<uintptr_t>(shared_begin()), at = reinterpret_cast<uintptr_t>(p);
    if (at < begin || at + bytes > begin + shared_bytes())
        misuse(std::string(what) + " needs an address in the block's shared memory: byte " +
               std::to_string(static_cast<int64_t>(at - begin)) + " of " + std::to_string(shared_bytes()));
}

static int& on_the_way(const void* p) {
    const auto at =
        static_cast<size_t>(static_cast<const char*>(p) - static_cast<const char*>(shared_begin()));
    return copies_on_the_way()[at / 16];
}
void check_arrived(const void* p, const char* what) {
    if (on_the_way(p) != 0) misuse(std::string(what) + " reads what cp_async16 has not brought yet");
}

void cp_async(void* to, const void* from, bool valid) {
    check_shared(to, 16, "cp_async16");
    if (valid) check_aligned(from, 16, "cp_async16");
    ++on_the_way(to);
    current->copies.push_back({to, from, valid, current->copy_group});
}

void cp_async_commit() { ++current->copy_group; }

// Copies of the last `pending` committed groups, and those not committed yet, may stay behind.
void cp_async_wait(int pending) {
    std::vector<AsyncCopy>& copies = current->copies;
    size_t kept = 0;
    for (const AsyncCopy& copy : copies) {
        if (copy.group >= current->copy_group - pending) {
            copies[kept++] = copy;
            continue;
        }
        --on_the_way(copy.to);
        if (copy.valid)
            *static_cast<Bytes16*>(copy.to) = *static_cast<const Bytes16*>(copy.from);
        else
            std::memset(copy.to, 0, 16);
    }
    copies.resize(kept);
}

}  // namespace demi::gpu::emulation
