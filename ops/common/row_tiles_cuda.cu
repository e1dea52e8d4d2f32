#include "ops/common/row_tiles_cuda.h"

#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

struct SortRowsKernel {
    static constexpr int threads = 256;
    const int64_t* list;
    int64_t count;
    int64_t *rows, *places;

    DEMI_DEVICE void operator()() const {
        int64_t* tile = gpu::shared<int64_t>();
        const int64_t i = gpu::global_index(), t = gpu::thread_idx().x;
        const int64_t mine = i < count ? list[i] : 0;
        int64_t before = 0;
        for (int64_t first = 0; first < count; first += threads) {
            gpu::sync_threads();
            if (first + t < count) tile[t] = list[first + t];
            gpu::sync_threads();
            const int64_t n = count - first < threads ? count - first : threads;
            for (int64_t j = 0; j < n; ++j)
                before += tile[j] < mine || (tile[j] == mine && first + j < i) ? 1 : 0;
        }
        if (i >= count) return;
        rows[before] = mine;
        places[before] = i;
    }
};

}  // namespace

void launch_sort_rows(const int64_t* list, int64_t count, int64_t* rows, int64_t* places,
                      gpu::Stream stream) {
    constexpr int kThreads = SortRowsKernel::threads;
    gpu::launch(SortRowsKernel{list, count, rows, places}, gpu::blocks_for(count, kThreads, 1 << 30),
                {kThreads}, kThreads * sizeof(int64_t), stream);
}

}  // namespace demi::gpu_kernels
