// Blocks of host memory: aligned, apart from one another, whole until they are
// released, whatever their sizes.
#include "runtime/host_memory.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "runtime/random.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

struct Block {
    unsigned char* data;
    size_t size;
    unsigned char mark;
};

// A block's bytes, or the ends and a few between where it is large.
template <class F> bool all_of_block(const Block& block, F&& fn) {
    const size_t step = block.size < 4096 ? 1 : 509;
    for (size_t i = 0; i < block.size; i += step)
        if (!fn(block.data[i])) return false;
    return fn(block.data[block.size - 1]);
}

bool whole(const Block& block) {
    return all_of_block(block, [&](unsigned char byte) { return byte == block.mark; });
}

// Takes and releases blocks at random; false where one was not aligned or changed while it was held.
bool churn(uint64_t seed, int rounds) {
    Generator rng{seed};
    std::vector<Block> blocks;
    bool good = true;
    for (int i = 0; i < rounds; ++i) {
        if (!blocks.empty() && rng.next_below(5) < 2) {
            const size_t at = rng.next_below(static_cast<uint32_t>(blocks.size()));
            good = good && whole(blocks[at]);
            host_release(blocks[at].data);
            blocks[at] = blocks.back();
            blocks.pop_back();
            continue;
        }
        const uint32_t limits[] = {64, 5000, 300'000, 5'000'000};
        const size_t size = 1 + rng.next_below(limits[rng.next_below(4)]);
        const Block block{static_cast<unsigned char*>(host_allocate(size)), size,
                          static_cast<unsigned char>(rng.next_below(256))};
        if (block.data == nullptr) return false;
        good = good && reinterpret_cast<uintptr_t>(block.data) % 64 == 0;
        all_of_block(block, [&](unsigned char& byte) {
            byte = block.mark;
            return true;
        });
        blocks.push_back(block);
    }
    for (const Block& block : blocks) {
        good = good && whole(block);
        host_release(block.data);
    }
    return good;
}

}  // namespace

TEST_CASE("blocks of host memory are aligned and do not touch") { CHECK(churn(1, quick() ? 300 : 1500)); }

TEST_CASE("blocks of host memory from several threads") {
    std::vector<char> good(3, 0);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < good.size(); ++i)
        threads.emplace_back([&good, i] { good[i] = churn(10 + i, quick() ? 100 : 500); });
    for (std::thread& thread : threads) thread.join();
    for (const char each : good) CHECK(each == 1);
}

TEST_CASE("nothing is released where there is nothing") { host_release(nullptr); }

}  // namespace demi::test
