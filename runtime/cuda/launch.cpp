#include "runtime/cuda/launch.h"

#include "runtime/check.h"

namespace demi::gpu {

void check_launch_size(const char* kernel, Dim3 grid, Dim3 block, size_t shared_bytes, int max_threads) {
    const uint64_t threads = uint64_t{block.x} * block.y * block.z;
    if (threads == 0 || threads > static_cast<uint64_t>(max_threads) || block.z > 64) [[unlikely]]
        fail("cuda", kernel, ": a block has 1 to ", max_threads, " threads: got ", block.x, " x ", block.y,
             " x ", block.z);
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) [[unlikely]]
        fail("cuda", kernel, ": a grid has at most 2147483647 x 65535 x 65535 blocks: got ", grid.x, " x ",
             grid.y, " x ", grid.z);
    if (shared_bytes > 227 * 1024) [[unlikely]]
        fail("cuda", kernel, ": a block has at most 232448 bytes of shared memory: got ", shared_bytes);
}

}  // namespace demi::gpu
