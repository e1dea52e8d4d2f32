#include "ops/index/row_tiles_cuda.h"

#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

struct SortRowsKernel {
    static constexpr int threads = 256;
    const int64_t* list;
    int64_t count;
    int64_t *rows, *places, *first;
    int64_t bins;

    DEMI_DEVICE void operator()() const {
        int64_t* tile = gpu::shared<int64_t>();
        const int64_t i = gpu::global_index(), t = gpu::thread_idx().x;
        const int64_t mine = i < count ? list[i] : 0;
        int64_t before = 0, below = 0;  // of the list's element i; of row i
        for (int64_t begin = 0; begin < count; begin += threads) {
            gpu::sync_threads();
            if (begin + t < count) tile[t] = list[begin + t];
            gpu::sync_threads();
            const int64_t n = count - begin < threads ? count - begin : threads;
            for (int64_t j = 0; j < n; ++j) {
                before += tile[j] < mine || (tile[j] == mine && begin + j < i) ? 1 : 0;
                below += tile[j] < i ? 1 : 0;
            }
        }
        if (first != nullptr && i <= bins) first[i] = below;
        if (i >= count) return;
        rows[before] = mine;
        places[before] = i;
    }
};

}  // namespace

void launch_sort_rows(const int64_t* list, int64_t count, int64_t* rows, int64_t* places, int64_t* first,
                      int64_t bins, gpu::Stream stream) {
    constexpr int kThreads = SortRowsKernel::threads;
    const int64_t threads = first != nullptr && bins + 1 > count ? bins + 1 : count;
    gpu::launch(SortRowsKernel{list, count, rows, places, first, bins},
                gpu::blocks_for(threads, kThreads, 1 << 30), {kThreads}, kThreads * sizeof(int64_t), stream);
}

}  // namespace demi::gpu_kernels
