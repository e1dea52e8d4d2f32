#include "ops/index/rows_cuda.h"

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

// Usually there are few rows: where the uses of each begin costs no more than sorting.
static bool finds_first(int64_t count, int64_t bins) { return bins <= 4 * (count > 1024 ? count : 1024); }

int64_t sorted_rows_words(int64_t count, int64_t bins) {
    return count == 0 ? 0 : 2 * count + (finds_first(count, bins) ? bins + 1 : 0);
}

SortedRows sort_rows(const int64_t* list, int64_t count, int64_t bins, int64_t* memory, Queue queue) {
    if (count == 0) return {};
    constexpr int kThreads = SortRowsKernel::threads;
    int64_t* first = finds_first(count, bins) ? memory + 2 * count : nullptr;
    const int64_t threads = first != nullptr && bins + 1 > count ? bins + 1 : count;
    gpu::launch(SortRowsKernel{list, count, memory, memory + count, first, bins},
                gpu::blocks_for(threads, kThreads, 1 << 30), {kThreads}, kThreads * sizeof(int64_t),
                queue.stream);
    return {memory, memory + count, count, first};
}

}  // namespace demi::gpu_kernels
