#include "ops/index/index_kernels.h"

#include "ops/index/rows_cuda.h"
#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// ---- rows that a list picks ----------------------------------------------------------------------------
template <class U> struct TakeUnit {
    TakeRows p;
    int64_t units;  // in a row

    DEMI_DEVICE void operator()(int64_t k) const {
        const int64_t row = k / units, unit = k - row * units, a = row / p.n, i = row - a * p.n;
        static_cast<U*>(p.y.data)[k] =
            static_cast<const U*>(p.x.data)[(a * p.s + p.index[a * p.step + i]) * units + unit];
    }
};

void take_rows(const TakeRows& call, Queue queue) {
    const size_t bytes = static_cast<size_t>(call.width) * size_of(call.x.dtype);
    with_unit(address(call.x.data) | address(call.y.data) | bytes, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> U;
        const int64_t units = static_cast<int64_t>(bytes / sizeof(U));
        launch_each(TakeUnit<U>{call, units}, call.a * call.n * units, queue);
    });
}

// ---- the positions at which lists of n name each row ----------------------------------------------------
// Position i names bin (i / n) * s + index[i]. Those of bin b are list[first[b]] .. list[first[b + 1] - 1], in their order.
struct Positions {
    const int64_t* index;
    int64_t count, n, s, bins;
    uint64_t* first;  // bins + 1
    int64_t* list;    // count
    // Scratch.
    uint64_t* next;      // bins, zero
    uint64_t* totals;    // scan_blocks(bins)
    int64_t* unordered;  // count
};
constexpr int64_t kScanBlock = 2048;
DEMI_HOST_DEVICE int64_t scan_blocks(int64_t bins) { return (bins + kScanBlock - 1) / kScanBlock; }

struct Clear {
    Positions p;
    DEMI_DEVICE void operator()(int64_t i) const { p.next[i] = 0; }
};

DEMI_DEVICE int64_t bin_of(const Positions& p, int64_t i) { return i / p.n * p.s + p.index[i]; }

struct Count {
    Positions p;
    DEMI_DEVICE void operator()(int64_t i) const { gpu::atomic_add(p.next + bin_of(p, i), uint64_t{1}); }
};

// The sum over the threads before this one; total: over all. scratch: 8 values.
constexpr int kScanThreads = 256, kPerThread = static_cast<int>(kScanBlock) / kScanThreads;
DEMI_DEVICE uint64_t sum_before(uint64_t v, uint64_t* scratch, uint64_t* total) {
    uint64_t sum = v;
    for (int step = 1; step < 32; step *= 2) {
        const uint64_t other = gpu::shfl(sum, (gpu::lane() - step) & 31);
        if (gpu::lane() >= step) sum += other;
    }
    gpu::sync_threads();
    if (gpu::lane() == 31) scratch[gpu::warp()] = sum;
    gpu::sync_threads();
    uint64_t before = 0;
    *total = 0;
    for (int w = 0; w < kScanThreads / 32; ++w) {
        if (w < gpu::warp()) before += scratch[w];
        *total += scratch[w];
    }
    return before + sum - v;
}

// Step 0: totals[b] = sum of block b's counts. Step 1 (one block): totals become the sums before each block.
// Step 2: first and next.
template <int kStep> struct ScanKernel {
    static constexpr int threads = kScanThreads;
    Positions p;
    DEMI_DEVICE void operator()() const {
        if constexpr (kStep == 1) {
            const int64_t blocks = scan_blocks(p.bins);
            uint64_t carry = 0, total;
            for (int64_t at = 0; at < blocks; at += threads) {
                const int64_t b = at + gpu::thread_idx().x;
                const uint64_t before =
                    sum_before(b < blocks ? p.totals[b] : 0, gpu::shared<uint64_t>(), &total);
                if (b < blocks) p.totals[b] = carry + before;
                carry += total;
            }
            if (gpu::thread_idx().x == 0) p.first[p.bins] = carry;
        } else {
            const int64_t block = gpu::block_idx().x;
            const int64_t begin = block * kScanBlock + gpu::thread_idx().x * kPerThread;
            uint64_t own = 0, total;
            for (int k = 0; k < kPerThread; ++k)
                if (begin + k < p.bins) own += p.next[begin + k];
            uint64_t before = sum_before(own, gpu::shared<uint64_t>(), &total);
            if constexpr (kStep == 0) {
                if (gpu::thread_idx().x == 0) p.totals[block] = total;
            } else {
                before += p.totals[block];
                for (int k = 0; k < kPerThread && begin + k < p.bins; ++k) {
                    const uint64_t count = p.next[begin + k];
                    p.first[begin + k] = p.next[begin + k] = before;
                    before += count;
                }
            }
        }
    }
};

// Places within a bin come in any order here ...
struct Fill {
    Positions p;
    DEMI_DEVICE void operator()(int64_t i) const {
        p.unordered[gpu::atomic_add(p.next + bin_of(p, i), uint64_t{1})] = i;
    }
};
// ... and are put in order by counting the smaller ones. Bins are short; a bin of n costs n * n.
struct Order {
    Positions p;
    DEMI_DEVICE void operator()(int64_t k) const {
        const int64_t i = p.unordered[k], bin = bin_of(p, i);
        const uint64_t begin = p.first[bin], end = p.first[bin + 1];
        uint64_t place = begin;
        for (uint64_t other = begin; other < end; ++other) place += p.unordered[other] < i ? 1 : 0;
        p.list[place] = i;
    }
};

void find_positions(const Positions& p, Queue queue) {
    const gpu::Dim3 scan{static_cast<unsigned>(scan_blocks(p.bins))};
    constexpr size_t kShared = 8 * sizeof(uint64_t);
    launch_each(Clear{p}, p.bins, queue);
    launch_each(Count{p}, p.count, queue);
    gpu::launch(ScanKernel<0>{p}, scan, {kScanThreads}, kShared, queue.stream);
    gpu::launch(ScanKernel<1>{p}, {1}, {kScanThreads}, kShared, queue.stream);
    gpu::launch(ScanKernel<2>{p}, scan, {kScanThreads}, kShared, queue.stream);
    launch_each(Fill{p}, p.count, queue);
    launch_each(Order{p}, p.count, queue);
}

// ---- sums of rows ---------------------------------------------------------------------------------------
// dx[a][r] = sum of dy[a][i] over the positions i of bin r, in order and rounded once; x [a, s, width], y [a, n, width].
struct SumRows {
    const void* dy;
    void* dx;
    const uint64_t* first;
    const int64_t* list;
    int64_t a, s, n, width;
};
template <class T> struct AddPack {
    SumRows p;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t row, int64_t column, int count) const {
        const T* dy = static_cast<const T*>(p.dy);
        const int64_t a = row / p.s, r = row - a * p.s;
        const uint64_t begin = p.first[r], end = p.first[r + 1];
        Bytes16 out{{0, 0, 0, 0}};
        if (end > begin) out = read_pack(dy + (a * p.n + p.list[begin]) * p.width + column, count, aligned);
        if (end > begin + 1) {
            Values<T> sum = unpack<T>(out);
            for (uint64_t u = begin + 1; u < end; ++u) {
                const T* from = dy + (a * p.n + p.list[u]) * p.width + column;
                const Values<T> more = read_values(from, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) sum.v[i] += more.v[i];
            }
            out = pack(sum);
        }
        write_pack(static_cast<T*>(p.dx) + row * p.width + column, out, count, aligned);
    }
};

// `lists` lists of n numbers below s; each sends to its own s rows (then a is 1).
void sum_rows(ConstMem dy, Mem dx, const int64_t* index, int64_t lists, int64_t a, int64_t s, int64_t n,
              int64_t width, Queue queue) {
    const int64_t bins = s * lists, count = n * lists, blocks = scan_blocks(bins);
    const Scratch memory(static_cast<size_t>(2 * bins + 1 + blocks + 2 * count) * sizeof(int64_t), queue);
    uint64_t* first = memory.as<uint64_t>();
    uint64_t *next = first + bins + 1, *totals = next + bins;
    int64_t* list = reinterpret_cast<int64_t*>(totals + blocks);
    find_positions({index, count, n, s, bins, first, list, next, totals, list + count}, queue);
    const SumRows call{dy.data, dx.data, first, list, a, bins, count, width};
    launch_packs<AddPack>(dx.dtype, call, all_aligned(call.dy, call.dx), a * bins, width, queue);
}

void add_rows(const AddRows& c, Queue queue) {
    sum_rows(c.dy, c.dx, c.index, 1, c.a, c.s, c.n, c.width, queue);
}
void add_elements(const AddElements& c, Queue queue) {
    sum_rows(c.dy, c.dx, c.index, c.a, 1, c.s, c.n, 1, queue);
}

// ---- sorted lists of row numbers, for index_select_cat and scaled_index_add ---------------------------------
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

const IndexKernels index_kernels{take_rows, add_rows, add_elements};

}  // namespace demi::DEMI_BACKEND
