#include "ops/index/positions_cuda.h"

#include "ops/kernel_cuda.h"

namespace demi::gpu_kernels {
namespace {

DEMI_DEVICE int64_t bin_of(const PositionsCall& p, int64_t i) { return i / p.n * p.s + p.index[i]; }

struct CountKernel {
    static constexpr int threads = 256;
    PositionsCall p;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < p.count; i += gpu::global_size())
            gpu::atomic_add(p.next + bin_of(p, i), uint64_t{1});
    }
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
    PositionsCall p;
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
struct FillKernel {
    static constexpr int threads = 256;
    PositionsCall p;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < p.count; i += gpu::global_size())
            p.unordered[gpu::atomic_add(p.next + bin_of(p, i), uint64_t{1})] = i;
    }
};
// ... and are put in order by counting the smaller ones. Bins are short; a bin of n costs n * n.
struct OrderKernel {
    static constexpr int threads = 256;
    PositionsCall p;
    DEMI_DEVICE void operator()() const {
        for (int64_t k = gpu::global_index(); k < p.count; k += gpu::global_size()) {
            const int64_t i = p.unordered[k], bin = bin_of(p, i);
            const uint64_t begin = p.first[bin], end = p.first[bin + 1];
            uint64_t place = begin;
            for (uint64_t other = begin; other < end; ++other) place += p.unordered[other] < i ? 1 : 0;
            p.list[place] = i;
        }
    }
};

template <class T> struct AddRowsKernel {
    static constexpr int threads = 256;
    AddRowsCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t packs = (p.width + kPack<T> - 1) / kPack<T>, all = p.a * p.s * packs;
        const T* dy = static_cast<const T*>(p.dy);
        for (int64_t k = gpu::global_index(); k < all; k += gpu::global_size()) {
            const int64_t row = k / packs, column = (k - row * packs) * kPack<T>;
            const int64_t a = row / p.s, r = row - a * p.s, left = p.width - column;
            const int count = left < kPack<T> ? static_cast<int>(left) : kPack<T>;
            const uint64_t begin = p.first[r], end = p.first[r + 1];
            Bytes16 out{{0, 0, 0, 0}};
            if (end > begin)
                out = read_pack(dy + (a * p.n + p.list[begin]) * p.width + column, count, aligned);
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
    }
};

}  // namespace

void find_positions(const PositionsCall& call, gpu::Stream stream) {
    const gpu::Dim3 each = gpu::blocks_for(call.count, 256);
    const gpu::Dim3 scan{static_cast<unsigned>(scan_blocks(call.bins))};
    constexpr size_t kShared = 8 * sizeof(uint64_t);
    gpu::launch(CountKernel{call}, each, {256}, 0, stream);
    gpu::launch(ScanKernel<0>{call}, scan, {kScanThreads}, kShared, stream);
    gpu::launch(ScanKernel<1>{call}, {1}, {kScanThreads}, kShared, stream);
    gpu::launch(ScanKernel<2>{call}, scan, {kScanThreads}, kShared, stream);
    gpu::launch(FillKernel{call}, each, {256}, 0, stream);
    gpu::launch(OrderKernel{call}, each, {256}, 0, stream);
}

void add_rows(DType type, const AddRowsCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = call.width % kPack<T> == 0 && all_aligned(call.dy, call.dx);
        const int64_t packs = call.a * call.s * ((call.width + kPack<T> - 1) / kPack<T>);
        gpu::launch(AddRowsKernel<T>{call, aligned}, gpu::blocks_for(packs, 256), {256}, 0, stream);
    });
}

}  // namespace demi::gpu_kernels
