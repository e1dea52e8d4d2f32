#pragma once
// The state of the block that runs now. One launch at a time in the whole process.
#include <string>
#include <vector>

#include "tests/support/gpu/gpu_emulation.h"

namespace demi::gpu::emulation {

enum class State : uint8_t { waiting_to_start, ready, at_barrier, in_warp, done };

struct AsyncCopy {
    void* to;
    const void* from;
    bool valid;
    int group;
};

struct Thread {
    Place place;
    State state = State::waiting_to_start;
    class Fiber* fiber = nullptr;
    const char* warp_operation = nullptr;
    void* operands = nullptr;
    std::vector<AsyncCopy> copies;
    int copy_group = 0;
};

// How many of its lanes wait for a warp operation, and have ended.
struct Warp {
    int waiting = 0, done = 0;
};

extern Thread* current;  // the thread that runs now

void block_until_resumed();                                // from a thread: lets others run
[[noreturn]] void misuse(std::string&& text);              // from a thread: ends the launch with an Error
std::string short_name(std::string_view pretty_function);  // of the kernel
std::vector<Thread>& threads_of_block();
Warp& warp_of(const Thread& thread);
const void* shared_begin();
size_t shared_bytes();
std::vector<int>& copies_on_the_way();                // for each 16 bytes of shared memory
void check_arrived(const void* p, const char* what);  // no copy to these 16 bytes is on the way

}  // namespace demi::gpu::emulation
