#include "tests/support/gpu/block.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "runtime/check.h"
#include "tests/support/gpu/arena.h"
#include "tests/support/gpu/fiber.h"
#include "tests/support/gpu/record.h"

namespace demi::gpu::emulation {

Thread* current = nullptr;

namespace {

struct Launch {
    const char* name = "";
    const void* kernel = nullptr;
    Body body = nullptr;
    Dim3 grid, block;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::unique_ptr<char, decltype(&std::free)> shared{nullptr, std::free};
    size_t shared_bytes = 0;
    std::vector<int> on_the_way;
    size_t warp_first = 0, warp_count = 0, warp_next = 0;  // the warp that runs now
    bool descending = false;
    std::string error;
};

Launch* running = nullptr;
// Never freed: every launch uses them again. Those of threads that were stuck when a launch ended are lost.
std::vector<Fiber*>& all_fibers = *new std::vector<Fiber*>;
std::vector<Fiber*> idle_fibers;

std::string text_of(Dim3 d) {
    return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

// The next thread of the warp, in the order of this launch, that has not begun.
Thread* next_to_start() {
    Launch& l = *running;
    while (l.warp_next < l.warp_count) {
        const size_t i = l.warp_next++;
        Thread& t = l.threads[l.warp_first + (l.descending ? l.warp_count - 1 - i : i)];
        if (t.state == State::waiting_to_start) return &t;
    }
    return nullptr;
}

// What every fiber does: run the thread that it was given, then others that have not
// begun, and wait for the next.
void fiber_main() {
    for (;;) {
        running->body(running->kernel);
        Thread* finished = current;
        finished->state = State::done;
        ++warp_of(*finished).done;
        Fiber* own = finished->fiber;
        if (Thread* next = next_to_start()) {
            finished->fiber = nullptr;
            next->fiber = own;
            next->state = State::ready;
            current = next;
        } else {
            own->leave();
        }
    }
}

void resume(Thread& thread) {
    if (thread.fiber == nullptr) {
        if (idle_fibers.empty()) {
            idle_fibers.push_back(new Fiber(fiber_main));
            all_fibers.push_back(idle_fibers.back());
        }
        thread.fiber = idle_fibers.back();
        idle_fibers.pop_back();
    }
    current = &thread;
    thread.state = State::ready;
    thread.fiber->enter();
    if (current->state == State::done) {  // perhaps another thread by now
        idle_fibers.push_back(current->fiber);
        current->fiber = nullptr;
    }
    current = nullptr;
}

bool runnable(const Thread& t) { return t.state == State::waiting_to_start || t.state == State::ready; }

// Calls fn(i) for 0..count-1 in the order of this launch.
template <class F> void in_order(size_t count, bool descending, F&& fn) {
    for (size_t i = 0; i < count; ++i) fn(descending ? count - 1 - i : i);
}

// Runs one warp until none of its threads can go on.
bool run_warp(Launch& launch, size_t first) {
    const size_t count = std::min<size_t>(32, launch.threads.size() - first);
    launch.warp_first = first;
    launch.warp_count = count;
    launch.warp_next = 0;
    bool any = false;
    for (bool progress = true; progress && launch.error.empty();) {
        progress = false;
        in_order(count, launch.descending, [&](size_t i) {
            Thread& thread = launch.threads[first + i];
            if (!launch.error.empty() || !runnable(thread)) return;
            resume(thread);
            progress = any = true;
        });
    }
    return any;
}

// All threads stand still: opens the barrier, or finds out what is wrong. False when the block is done.
bool open_barrier(Launch& launch) {
    size_t waiting = 0, done = 0;
    const Thread* in_warp = nullptr;
    for (const Thread& t : launch.threads) {
        waiting += t.state == State::at_barrier;
        done += t.state == State::done;
        if (t.state == State::in_warp && in_warp == nullptr) in_warp = &t;
    }
    if (done == launch.threads.size()) return false;
    if (in_warp != nullptr) {
        launch.error = std::string("not all 32 lanes of a warp came to ") + in_warp->warp_operation +
                       ": thread " + text_of(in_warp->place.thread) + " of block " +
                       text_of(in_warp->place.block) + " waits for ever";
        return false;
    }
    if (waiting != launch.threads.size()) {
        launch.error = std::to_string(done) + " threads of a block ended while " + std::to_string(waiting) +
                       " wait at sync_threads()";
        return false;
    }
    for (Thread& t : launch.threads) t.state = State::ready;
    return true;
}

void run_block(Launch& launch, Dim3 block) {
    const size_t count = launch.threads.size();
    for (size_t i = 0; i < count; ++i) {
        Thread& t = launch.threads[i];
        t.state = State::waiting_to_start;
        t.copies.clear();
        t.copy_group = 0;
        const auto n = static_cast<unsigned>(i);
        t.place = {
            {n % launch.block.x, n / launch.block.x % launch.block.y, n / (launch.block.x * launch.block.y)},
            block,
            launch.block,
            launch.grid,
            static_cast<int>(i)};
    }
    launch.warps.assign((count + 31) / 32, {});
    launch.on_the_way.assign(launch.shared_bytes / 16 + 1, 0);
    if (launch.shared_bytes > 0) std::memset(launch.shared.get(), 0xFF, launch.shared_bytes);
    do {
        in_order((count + 31) / 32, launch.descending, [&](size_t w) { run_warp(launch, 32 * w); });
    } while (launch.error.empty() && open_barrier(launch));
}

bool next_descends() {
    static uint64_t launches = 0;
    const char* order = std::getenv("DEMI_GPU_EMULATION_ORDER");
    const std::string_view name = order ? order : "";
    if (name == "ascending") return false;
    if (name == "descending") return true;
    check(name.empty() || name == "turns", "gpu emulation",
          "DEMI_GPU_EMULATION_ORDER takes ascending, descending or turns: got '", name, "'");
    return __builtin_parityll(
        launches++);  // never the same pattern twice in a row, however many launches an op has
}

}  // namespace

std::string short_name(std::string_view pretty) {  // "... [with Kernel = demi::FooKernel; ...]"
    const size_t begin = pretty.find("Kernel = ");
    if (begin == pretty.npos) return std::string(pretty);
    const size_t end = pretty.find_first_of("];", begin);
    return std::string(pretty.substr(begin + 9, end - begin - 9));
}

const Place& place() { return current->place; }
void* shared_memory() { return running->shared.get(); }
const void* shared_begin() { return running->shared.get(); }
size_t shared_bytes() { return running->shared_bytes; }
std::vector<int>& copies_on_the_way() { return running->on_the_way; }
std::vector<Thread>& threads_of_block() { return running->threads; }
Warp& warp_of(const Thread& thread) { return running->warps[static_cast<size_t>(thread.place.linear) / 32]; }

void block_until_resumed() { current->fiber->leave(); }

void misuse(std::string&& text) {
    {
        const Place& at = current->place;
        const std::string what = std::move(text);
        running->error = what + " (thread " + text_of(at.thread) + " of block " + text_of(at.block) + ")";
    }
    for (;;) block_until_resumed();  // it is never resumed: the launch is over
}

void barrier() {
    current->state = State::at_barrier;
    block_until_resumed();
}

extern "C" const char __executable_start;

// DEMI_GPU_EMULATION_COVERAGE=FILE: a line for each kernel when it first runs, with its place in the program;
// coverage.py compares that with all kernels there are.
static void note_coverage(Body body) {
    static const char* const path = std::getenv("DEMI_GPU_EMULATION_COVERAGE");
    if (path == nullptr) return;
    static std::set<Body> seen;
    if (!seen.insert(body).second) return;
    std::FILE* file = std::fopen(path, "a");
    if (file == nullptr) return;
    std::fprintf(file, "%zx\n",
                 reinterpret_cast<uintptr_t>(body) - reinterpret_cast<uintptr_t>(&__executable_start));
    std::fclose(file);
}

static void run(const char* name, const void* kernel, size_t kernel_bytes, Body body, Dim3 grid, Dim3 block,
                size_t shared) {
    static std::mutex one_at_a_time;
    std::lock_guard lock(one_at_a_time);
    note_coverage(body);
    DeviceAccess access;
    Launch launch;
    launch.name = name;
    // On the heap at its exact size, so that a read behind the parameters is seen.
    std::unique_ptr<void, decltype(&std::free)> copy(std::malloc(kernel_bytes), std::free);
    std::memcpy(copy.get(), kernel, kernel_bytes);
    launch.kernel = copy.get();
    launch.body = body;
    launch.grid = grid;
    launch.block = block;
    launch.threads.resize(static_cast<size_t>(block.x) * block.y * block.z);
    launch.shared_bytes = shared;
    if (shared > 0) {
        void* memory = nullptr;
        check(posix_memalign(&memory, 128, shared) == 0, "gpu emulation", "no memory");
        launch.shared.reset(static_cast<char*>(memory));
    }
    launch.descending = next_descends();
    running = &launch;
    const size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
    in_order(blocks, launch.descending, [&](size_t i) {
        if (!launch.error.empty()) return;
        const auto x = static_cast<unsigned>(i % grid.x), rest = static_cast<unsigned>(i / grid.x);
        run_block(launch, {x, rest % grid.y, rest / grid.y});
    });
    running = nullptr;
    current = nullptr;
    // After an error the fibers of stuck threads are left as they are: their stacks hold unfinished work.
    if (!launch.error.empty()) fail("gpu emulation", short_name(name), ": ", launch.error);
}

void launch(const char* name, const void* kernel, size_t kernel_bytes, Body body, Dim3 grid, Dim3 block,
            size_t shared) {
    const char* bytes = static_cast<const char*>(kernel);
    run_or_record([name, parameters = std::vector<char>(bytes, bytes + kernel_bytes), body, grid, block,
                   shared] { run(name, parameters.data(), parameters.size(), body, grid, block, shared); });
}

}  // namespace demi::gpu::emulation
