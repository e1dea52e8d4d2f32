// Threads and the allocator.
#include "runtime/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/tensor.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"

using namespace demi;
using namespace demi::test;

namespace {

struct Threads {  // sets the number of threads, and puts it back
    explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
    ~Threads() { set_num_threads(before); }
    int before;
};

}  // namespace

TEST_CASE("every tile runs exactly once, with 1, 2, 3 and 8 threads") {
    for (int threads : {1, 2, 3, 8, 2}) {
        const Threads set(threads);
        CHECK(num_threads() == threads);
        for (int64_t tiles : {0, 1, 2, 3, 7, 8, 9, 100, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<size_t>(tiles));
            parallel_for(tiles, [&](int64_t tile) { ++runs[static_cast<size_t>(tile)]; });
            bool once = true;
            for (const auto& count : runs) once = once && count == 1;
            CHECK(once);
        }
        parallel_for(-3, [](int64_t) { FAIL("a negative number of tiles"); });
        std::atomic<int64_t> covered{0};
        parallel_ranges(1003, 10, [&](int64_t begin, int64_t end) { covered += end - begin; });
        CHECK(covered == 1003);
    }
}

TEST_CASE("many tiny jobs: no tile lost, no thread stuck") {
    const Threads set(4);
    std::atomic<int64_t> sum{0};
    const int jobs = quick() ? 5000 : 40000;
    int64_t want = 0;
    for (int i = 0; i < jobs; ++i) {
        const int64_t tiles = 1 + i % 5;
        want += tiles * (tiles + 1) / 2;
        parallel_for(tiles, [&](int64_t tile) { sum.fetch_add(tile + 1, std::memory_order_relaxed); });
    }
    CHECK(sum == want);
}

TEST_CASE("what tiles write without atomics is seen by the caller, job after job") {
    const Threads set(3);
    std::vector<int> cells(64, 0);
    for (int job = 0; job < (quick() ? 300 : 3000); ++job)
        parallel_for(64, [&](int64_t tile) { ++cells[static_cast<size_t>(tile)]; });
    for (int cell : cells) CHECK(cell == (quick() ? 300 : 3000));
}

TEST_CASE("the exception of the lowest failing tile comes out; the pool lives on") {
    for (int threads : {1, 2, 8}) {
        const Threads set(threads);
        for (int round = 0; round < 20; ++round) {
            const std::string message = error_of([&] {
                parallel_for(50, [&](int64_t tile) {
                    if (tile % 10 == 7) fail("test", "tile ", tile);
                });
            });
            CHECK(message == "[test] tile 7");
        }
        CHECK_THROWS_AS(parallel_for(3, [](int64_t) { throw std::logic_error("another kind"); }),
                        std::logic_error);
        std::atomic<int> runs{0};
        parallel_for(10, [&](int64_t) { ++runs; });
        CHECK(runs == 10);
    }
}

TEST_CASE("nested calls run inline, exceptions included") {
    const Threads set(3);
    std::atomic<int64_t> sum{0};
    parallel_for(8, [&](int64_t) {
        const auto outer = std::this_thread::get_id();
        parallel_for(5, [&](int64_t inner) {
            sum += inner;
            if (std::this_thread::get_id() != outer) fail("test", "left its thread");
            parallel_for(2, [&](int64_t) { ++sum; });
        });
    });
    CHECK(sum == 8 * (10 + 10));
    CHECK(error_of([] {
              parallel_for(
                  4, [](int64_t) { parallel_for(3, [](int64_t tile) { fail("test", "inner ", tile); }); });
          }) == "[test] inner 0");
}

TEST_CASE("callers on several threads at once") {
    const Threads set(3);
    std::vector<std::thread> callers;
    std::vector<int64_t> sums(4, 0);
    for (size_t c = 0; c < sums.size(); ++c)
        callers.emplace_back([&sums, c] {
            for (int job = 0; job < (quick() ? 100 : 1000); ++job) {
                std::vector<int64_t> parts(16, 0);
                parallel_for(16, [&](int64_t tile) { parts[static_cast<size_t>(tile)] = tile; });
                sums[c] += std::accumulate(parts.begin(), parts.end(), int64_t{0});
            }
        });
    for (std::thread& caller : callers) caller.join();
    for (int64_t sum : sums) CHECK(sum == 120 * (quick() ? 100 : 1000));
}

TEST_CASE("the number of threads is checked") {
    CHECK(error_of([] { set_num_threads(0); }) == "[threads] number of threads must be from 1 to 256: got 0");
    CHECK(has(error_of([] { set_num_threads(257); }), "got 257"));
    CHECK(num_threads() >= 1);
}

TEST_CASE("allocator: live, peak, reuse, cache") {
    empty_cache();
    const AllocatorStats start = allocator_stats();
    reset_peak();
    void* a = allocate(Device::cpu(), 1000);
    CHECK(reinterpret_cast<uintptr_t>(a) % 64 == 0);
    void* b = allocate(Device::cpu(), 70000);
    AllocatorStats now = allocator_stats();
    CHECK(now.live_bytes - start.live_bytes == 71000);
    CHECK(now.live_blocks - start.live_blocks == 2);
    CHECK(now.peak_bytes == now.live_bytes);
    CHECK(now.reserved_bytes >= now.live_bytes);
    CHECK(now.allocations - start.allocations == 2);
    release(Device::cpu(), b, 70000);
    CHECK(allocator_stats().peak_bytes == now.peak_bytes);
    CHECK(allocator_stats().live_bytes - start.live_bytes == 1000);
    if (allocator_caches()) {
        void* c = allocate(Device::cpu(), 69000);  // the same class
        CHECK(c == b);
        CHECK(allocator_stats().system_allocations == now.system_allocations);
        release(Device::cpu(), c, 69000);
    }
    reset_peak();
    CHECK(allocator_stats().peak_bytes == allocator_stats().live_bytes);
    release(Device::cpu(), a, 1000);
    empty_cache();
    now = allocator_stats();
    CHECK(now.live_bytes == start.live_bytes);
    CHECK(now.reserved_bytes == start.reserved_bytes);
    CHECK(allocate(Device::cpu(), 0) == nullptr);
    release(Device::cpu(), nullptr, 0);
    CHECK(allocator_stats().live_blocks == start.live_blocks);
    const int64_t asked = thread_allocated_bytes();
    { const Tensor t = Tensor::empty({100}); }
    CHECK(thread_allocated_bytes() - asked == 400);
}

TEST_CASE("size classes: a block is never too small, and loses at most an eighth") {
    if (!allocator_caches()) return;
    for (size_t bytes : {1ul, 63ul, 64ul, 65ul, 511ul, 512ul, 513ul, 576ul, 577ul, 1000ul, 1024ul, 1025ul,
                         4097ul, 1000001ul}) {
        empty_cache();
        const int64_t before = allocator_stats().reserved_bytes;
        void* block = allocate(Device::cpu(), bytes);
        const auto held = static_cast<double>(allocator_stats().reserved_bytes - before);
        CHECK(held >= static_cast<double>(bytes));
        CHECK(held <= std::max(static_cast<double>(bytes) * 1.125, static_cast<double>(bytes) + 63));
        release(Device::cpu(), block, bytes);
    }
}

TEST_CASE("steady state: the same work again asks the system for nothing") {
    if (!allocator_caches()) return;
    const auto work = [] {
        std::vector<Tensor> kept;
        for (int64_t n : {10, 1000, 33333, 7, 4096}) kept.push_back(Tensor::zeros({n, 3}));
        for (size_t i = 1; i < kept.size(); ++i) kept[i] = kept[i - 1].clone();
    };
    for (int i = 0; i < 3; ++i) work();
    const AllocatorStats before = allocator_stats();
    for (int i = 0; i < 50; ++i) work();
    const AllocatorStats after = allocator_stats();
    CHECK(after.system_allocations == before.system_allocations);
    CHECK(after.reserved_bytes == before.reserved_bytes);
    CHECK(after.allocations > before.allocations);
}

TEST_CASE("out of memory says what was asked for, and the program goes on") {
#if defined(__SANITIZE_THREAD__)
    DEMI_SKIP("the thread sanitizer ends the process instead");
#endif
    if (!allocator_caches()) DEMI_SKIP("the address sanitizer ends the process instead");
    const Tensor held = Tensor::zeros({1000});
    const std::string message = error_of([] { Tensor::empty({INT64_C(1) << 46}, DType::f64); });
    CHECK_MESSAGE(has(message, "[allocate] out of memory on cpu: asked for 562949953421312 bytes, "),
                  message);
    CHECK(has(message, " in use, peak "));
    CHECK(has(message, " free"));
    CHECK(Tensor::full({5}, 2).to_vector<float>()[4] == 2);
}

TEST_CASE("allocator: many threads at once, each sees its own memory only") {
    const AllocatorStats start = allocator_stats();
    std::vector<std::thread> threads;
    std::atomic<int> mixed{0};
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([t, &mixed] {
            for (int i = 0; i < (quick() ? 300 : 3000); ++i) {
                Tensor x = Tensor::full({1 + i % 97}, t);
                const Tensor y = Tensor::full({1 + i % 13}, -t);
                for (float v : x.to_vector<float>()) mixed += v != static_cast<float>(t);
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(mixed == 0);
    CHECK(allocator_stats().live_bytes == start.live_bytes);
    CHECK(allocator_stats().live_blocks == start.live_blocks);
}
