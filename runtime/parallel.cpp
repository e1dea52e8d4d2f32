#include "runtime/parallel.h"

#include <sched.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/cgroup.h"
#include "runtime/check.h"

namespace demi {
namespace {

constexpr int kMaxThreads = 256;
// A thread that waits looks again and again for this long before it sleeps: waking one
// costs more than most jobs.
constexpr int64_t kSpinNs = 200'000;
// A waiting thread that was away for longer than this between two looks had to give its processor to one that
// has work: it sleeps at once.
constexpr int64_t kAwayNs = 20'000;

int default_threads() {
    if (const char* text = std::getenv("DEMI_THREADS"); text != nullptr && *text != '\0') {
        int value = 0;
        const char* end = text + std::strlen(text);
        const auto result = std::from_chars(text, end, value);
        check(result.ec == std::errc() && result.ptr == end && value >= 1 && value <= kMaxThreads, "threads",
              "DEMI_THREADS must be a number from 1 to ", kMaxThreads, ": got '", text, "'");
        return value;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    int threads = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
    if (const int quota = cgroup_threads("/proc/self/cgroup", "/sys/fs/cgroup"); quota > 0 && quota < threads)
        threads = quota;
    return threads < kMaxThreads ? threads : kMaxThreads;
}

std::atomic<int>& thread_limit() {
    static std::atomic<int> limit{default_threads()};
    return limit;
}

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// The patience of one wait: again() pauses for a moment, and says no when it is time to sleep.
class Patience {
  public:
    bool again() {
        pause();
        if (++looks_ % 16 != 0) return true;
        const int64_t now = now_ns();
        if (first_ == 0) first_ = last_ = now;
        const bool stay = now - first_ < kSpinNs && now - last_ < kAwayNs;
        last_ = now;
        return stay;
    }
    void renew() { *this = Patience(); }

  private:
    int looks_ = 0;
    int64_t first_ = 0, last_ = 0;
};

thread_local bool inside_tile = false;

// One job at a time. `state_` holds bit 0: open, bits 1..16: workers inside, above: generation. A worker
// joins an open job by raising the count; the caller closes the job when no tile is left and waits for those
// inside. A worker that wakes late finds the job closed, so no thread waits for a sleeping one.
class Pool {
  public:
    void run(int64_t tiles, void (*call)(void*, int64_t), void* fn, int threads) {
        grow(threads - 1);
        call_ = call;
        fn_ = fn;
        tiles_ = tiles;
        limit_ = threads - 1;
        next_.store(0, std::memory_order_relaxed);
        error_ = nullptr;
        error_tile_ = INT64_MAX;
        const uint64_t generation = (state_.load(std::memory_order_relaxed) >> kShift) + 1;
        state_.store((generation << kShift) | kOpen, std::memory_order_release);
        state_.notify_all();
        work();
        state_.fetch_and(~kOpen, std::memory_order_acq_rel);
        wait_until_empty();
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

    std::mutex busy;

  private:
    static constexpr uint64_t kOpen = 1, kOne = 2, kCount = 0x1fffe;
    static constexpr int kShift = 17;

    // Where the system gives no more threads, the job is done by those that there are.
    void grow(int workers) {
        try {
            for (; started_ < workers; ++started_) std::thread([this, id = started_] { loop(id); }).detach();
        } catch (const std::system_error&) {
        }
    }

    void work() {
        inside_tile = true;
        for (;;) {
            const int64_t tile = next_.fetch_add(1, std::memory_order_relaxed);
            if (tile >= tiles_) break;
            try {
                call_(fn_, tile);
            } catch (...) {
                std::lock_guard lock(error_mutex_);
                if (tile < error_tile_) {
                    error_tile_ = tile;
                    error_ = std::current_exception();
                }
            }
        }
        inside_tile = false;
    }

    void wait_until_empty() {
        for (Patience patience;;) {
            const uint64_t state = state_.load(std::memory_order_acquire);
            if ((state & kCount) == 0) return;
            if (!patience.again()) state_.wait(state, std::memory_order_acquire);
        }
    }

    void loop(int id) {
        uint64_t done = 0;
        for (Patience patience;;) {
            uint64_t state = state_.load(std::memory_order_acquire);
            if ((state & kOpen) != 0 && (state >> kShift) != done) {
                if (!state_.compare_exchange_weak(state, state + kOne, std::memory_order_acq_rel)) continue;
                done = state >> kShift;
                if (id < limit_) work();
                const uint64_t before = state_.fetch_sub(kOne, std::memory_order_acq_rel);
                if ((before & kCount) == kOne) state_.notify_all();
                patience.renew();
            } else if (!patience.again()) {
                state_.wait(state, std::memory_order_acquire);
            }
        }
    }

    std::atomic<uint64_t> state_{0};
    std::atomic<int64_t> next_{0};
    void (*call_)(void*, int64_t) = nullptr;
    void* fn_ = nullptr;
    int64_t tiles_ = 0;
    int limit_ = 0;
    int started_ = 0;
    std::mutex error_mutex_;
    std::exception_ptr error_;
    int64_t error_tile_ = INT64_MAX;
};

Pool& pool() {
    static Pool* instance = new Pool;  // never destroyed: its threads may outlive static destruction
    return *instance;
}

}  // namespace

int num_threads() { return thread_limit().load(std::memory_order_relaxed); }

void set_num_threads(int threads) {
    check(threads >= 1 && threads <= kMaxThreads, "threads", "number of threads must be from 1 to ",
          kMaxThreads, ": got ", threads);
    thread_limit().store(threads, std::memory_order_relaxed);
}

void detail::no_grain(int64_t grain) { fail("parallel_ranges", "grain must be positive: got ", grain); }

void detail::run_tiles(int64_t tiles, void (*call)(void*, int64_t), void* fn) {
    if (tiles <= 0) return;
    const int threads = num_threads();
    if (tiles > 1 && threads > 1 && !inside_tile) {
        Pool& shared = pool();
        if (std::unique_lock lock(shared.busy, std::try_to_lock); lock.owns_lock()) {
            shared.run(tiles, call, fn, threads);
            return;
        }
    }
    for (int64_t tile = 0; tile < tiles; ++tile) call(fn, tile);
}

}  // namespace demi
