// A chunk of fixed size is one block: every thread adds its share in f32 (f64 where an operand is), the block
// adds those in f64, and a second kernel adds the chunks. One chunk needs no second kernel.
#include "ops/reduce/reduce_cuda.h"

#include "ops/common/any_type.cuh"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kRowChunk = 8192;       // elements of a block, neighbours reduced: 32 a thread
constexpr int64_t kShortRow = 1024;       // up to here a warp takes a whole sum
constexpr int64_t kColumnChunk = 512;     // rows of a block, neighbours kept
constexpr int kColumns = 32, kLines = 8;  // its threads

template <class C> DEMI_DEVICE C element(const SumCall& call, const gpu::Offsets<2>& kept, int64_t r) {
    gpu::Offsets<2> at;
    if (call.reduced.rank == 1) {
        at.at[0] = r * call.reduced.strides[0][0];
        at.at[1] = r * call.reduced.strides[1][0];
    } else {
        at = gpu::offsets_of(call.reduced, r);
    }
    const C x = gpu::load_any<C>(call.x, call.x_type, kept.at[0] + at.at[0]);
    return call.y == nullptr ? x : x * gpu::load_any<C>(call.y, call.y_type, kept.at[1] + at.at[1]);
}

// What the threads' shares are added in; integers wrap around.
template <class C> struct TotalOf { typedef double type; };
template <> struct TotalOf<uint64_t> { typedef uint64_t type; };
template <class C> using total_t = typename TotalOf<C>::type;

// Of the elements begin, begin + step, ... below end.
template <class C>
DEMI_DEVICE total_t<C> share(const SumCall& call, const gpu::Offsets<2>& kept, int64_t begin, int64_t end,
                             int64_t step) {
    C sum = 0;
    for (int64_t r = begin; r < end; r += step) sum += element<C>(call, kept, r);
    if constexpr (sizeof(C) == 4)
        if (!gpu::is_finite(sum)) return share<double>(call, kept, begin, end, step);
    return static_cast<total_t<C>>(sum);
}

template <class C> DEMI_DEVICE void finish(const SumCall& call, int64_t k, double sum) {
    gpu::store_any<C>(call.out, call.out_type, k, static_cast<C>(sum * call.scale));
}
template <class C> DEMI_DEVICE void finish(const SumCall& call, int64_t k, uint64_t sum) {
    static_cast<uint64_t*>(call.out)[k] = sum;
}

// A warp per sum.
template <class C> struct ShortRowKernel {
    static constexpr int threads = kThreads;
    SumCall call;
    DEMI_DEVICE void operator()() const {
        const int64_t step = static_cast<int64_t>(gpu::grid_dim().x) * (kThreads / 32);
        for (int64_t k = static_cast<int64_t>(gpu::block_idx().x) * (kThreads / 32) + gpu::warp();
             k < call.kept.count; k += step) {
            const auto at = gpu::offsets_of(call.kept, k);
            const auto total = gpu::warp_sum(share<C>(call, at, gpu::lane(), call.reduced.count, 32));
            if (gpu::lane() == 0) finish<C>(call, k, total);
        }
    }
};

// A block per sum and chunk: partials [kept][chunks].
template <class C> struct RowKernel {
    static constexpr int threads = kThreads;
    SumCall call;
    total_t<C>* partials;
    int64_t chunks;
    DEMI_DEVICE void operator()() const {
        const int64_t jobs = call.kept.count * chunks;
        for (int64_t job = gpu::block_idx().x; job < jobs; job += gpu::grid_dim().x) {
            const int64_t k = job / chunks, begin = job % chunks * kRowChunk;
            const int64_t end =
                begin + kRowChunk < call.reduced.count ? begin + kRowChunk : call.reduced.count;
            const auto at = gpu::offsets_of(call.kept, k);
            const auto own = share<C>(call, at, begin + gpu::thread_idx().x, end, kThreads);
            const auto total = gpu::block_sum(own, gpu::shared<total_t<C>>());
            if (gpu::thread_idx().x != 0) continue;
            if (partials == nullptr)
                finish<C>(call, k, total);
            else
                partials[job] = total;
        }
    }
};

// 32 neighbouring sums and 8 lines of rows per block: partials [chunks][kept].
template <class C> struct ColumnKernel {
    static constexpr int threads = kColumns * kLines;
    SumCall call;
    total_t<C>* partials;
    int64_t chunks;
    DEMI_DEVICE void operator()() const {
        total_t<C>* lines = gpu::shared<total_t<C>>();
        const int64_t tiles = (call.kept.count + kColumns - 1) / kColumns, jobs = tiles * chunks;
        const int column = static_cast<int>(gpu::thread_idx().x),
                  line = static_cast<int>(gpu::thread_idx().y);
        for (int64_t job = gpu::block_idx().x; job < jobs; job += gpu::grid_dim().x) {
            const int64_t k = job % tiles * kColumns + column, begin = job / tiles * kColumnChunk;
            const int64_t end =
                begin + kColumnChunk < call.reduced.count ? begin + kColumnChunk : call.reduced.count;
            total_t<C> sum = 0;
            if (k < call.kept.count)
                sum = share<C>(call, gpu::offsets_of(call.kept, k), begin + line, end, kLines);
            gpu::sync_threads();  // the lines of the job before have been read
            lines[line * kColumns + column] = sum;
            gpu::sync_threads();
            if (line != 0 || k >= call.kept.count) continue;
            total_t<C> total = 0;
            for (int i = 0; i < kLines; ++i) total += lines[i * kColumns + column];
            if (partials == nullptr)
                finish<C>(call, k, total);
            else
                partials[job / tiles * call.kept.count + k] = total;
        }
    }
};

// A warp per sum adds its chunks.
template <class C> struct ChunkKernel {
    static constexpr int threads = kThreads;
    SumCall call;
    const total_t<C>* partials;
    int64_t chunks, chunk_step, kept_step;
    DEMI_DEVICE void operator()() const {
        const int64_t step = static_cast<int64_t>(gpu::grid_dim().x) * (kThreads / 32);
        for (int64_t k = static_cast<int64_t>(gpu::block_idx().x) * (kThreads / 32) + gpu::warp();
             k < call.kept.count; k += step) {
            total_t<C> sum = 0;
            for (int64_t i = gpu::lane(); i < chunks; i += 32)
                sum += partials[k * kept_step + i * chunk_step];
            sum = gpu::warp_sum(sum);
            if (gpu::lane() == 0) finish<C>(call, k, sum);
        }
    }
};

int64_t chunks_of(const SumCall& call) {
    const int64_t chunk = call.inner_reduced ? kRowChunk : kColumnChunk;
    return (call.reduced.count + chunk - 1) / chunk;
}

template <class C> void sum_as(const SumCall& call, void* room, gpu::Stream stream) {
    total_t<C>* partials = static_cast<total_t<C>*>(room);
    const gpu::Dim3 warps = gpu::blocks_for(call.kept.count, kThreads / 32);
    const int64_t chunks = chunks_of(call);
    if (call.inner_reduced && call.reduced.count <= kShortRow) {
        gpu::launch(ShortRowKernel<C>{call}, warps, {kThreads}, 0, stream);
    } else if (call.inner_reduced) {
        gpu::launch(RowKernel<C>{call, partials, chunks}, gpu::blocks_for(call.kept.count * chunks, 1),
                    {kThreads}, 32 * sizeof(double), stream);
    } else {
        const int64_t tiles = (call.kept.count + kColumns - 1) / kColumns;
        gpu::launch(ColumnKernel<C>{call, partials, chunks}, gpu::blocks_for(tiles * chunks, 1),
                    {kColumns, kLines}, kColumns * kLines * sizeof(double), stream);
    }
    if (partials == nullptr) return;
    const int64_t chunk_step = call.inner_reduced ? 1 : call.kept.count;
    const int64_t kept_step = call.inner_reduced ? chunks : 1;
    gpu::launch(ChunkKernel<C>{call, partials, chunks, chunk_step, kept_step}, warps, {kThreads}, 0, stream);
}

// ---- maxima --------------------------------------------------------------------------------------------
template <class C> struct Best {
    C value;
    int64_t index;  // -1: nothing yet

    DEMI_DEVICE void add(C other, int64_t at) {
        if (at < 0) return;
        const bool mine_nan = !(value == value), other_nan = !(other == other);
        bool take = index < 0;
        if (!take && mine_nan != other_nan)
            take = other_nan;
        else if (!take && !mine_nan && other != value)
            take = other > value;
        else if (!take)
            take = at < index;
        if (take) {
            value = other;
            index = at;
        }
    }
    DEMI_DEVICE void add_lanes() {
        for (int step = 16; step > 0; step /= 2) {
            const C other = gpu::shfl_xor(value, step);
            const int64_t at = gpu::shfl_xor(index, step);
            add(other, at);
        }
    }
};

// The order of numbers turned around; -x of the smallest integer does not exist.
DEMI_DEVICE float turned(float x) { return -x; }
DEMI_DEVICE double turned(double x) { return -x; }
DEMI_DEVICE int64_t turned(int64_t x) { return ~x; }

// A warp per row, or a block where rows are long.
template <class C> struct MaxKernel {
    static constexpr int threads = kThreads;
    DType type;
    const void* x;
    int64_t n, m;
    void* values;
    int64_t* indices;
    bool long_rows, smallest;

    DEMI_DEVICE C element(int64_t at) const {
        const C v = gpu::load_any<C>(x, type, at);
        return smallest ? turned(v) : v;
    }
    DEMI_DEVICE void operator()() const {
        const int per_block = long_rows ? 1 : kThreads / 32;
        const int first = long_rows ? static_cast<int>(gpu::thread_idx().x) : gpu::lane();
        const int step = long_rows ? kThreads : 32;
        Best<C>* shared = gpu::shared<Best<C>>();
        for (int64_t group = gpu::block_idx().x; group * per_block < n; group += gpu::grid_dim().x) {
            const int64_t row = group * per_block + (long_rows ? 0 : gpu::warp());
            Best<C> best{C(0), -1};
            if (row < n)
                for (int64_t i = first; i < m; i += step) best.add(element(row * m + i), i);
            best.add_lanes();
            if (long_rows) {
                gpu::sync_threads();
                if (gpu::lane() == 0) shared[gpu::warp()] = best;
                gpu::sync_threads();
                if (gpu::thread_idx().x == 0)
                    for (int w = 1; w < kThreads / 32; ++w) best.add(shared[w].value, shared[w].index);
            }
            if (first != 0 || row >= n) continue;
            gpu::store_any<C>(values, type, row, smallest ? turned(best.value) : best.value);
            indices[row] = best.index;
        }
    }
};

template <class C>
void max_as(DType type, const void* x, int64_t n, int64_t m, bool smallest, void* values, int64_t* indices,
            gpu::Stream stream) {
    const bool long_rows = m > 4096;
    gpu::launch(MaxKernel<C>{type, x, n, m, values, indices, long_rows, smallest},
                gpu::blocks_for(n, long_rows ? 1 : kThreads / 32), {kThreads},
                long_rows ? kThreads / 32 * sizeof(Best<C>) : 0, stream);
}

}  // namespace

int64_t sum_partials(const SumCall& call) {
    const int64_t chunks = chunks_of(call);
    return chunks > 1 ? call.kept.count * chunks : 0;
}

void sum(const SumCall& call, void* partials, gpu::Stream stream) {
    if (call.out_type == DType::f64)
        sum_as<double>(call, partials, stream);
    else if (call.out_type == DType::i64)
        sum_as<uint64_t>(call, partials, stream);
    else
        sum_as<float>(call, partials, stream);
}

void max_rows(DType type, const void* x, int64_t n, int64_t m, bool smallest, void* values, int64_t* indices,
              gpu::Stream stream) {
    if (type == DType::f64)
        max_as<double>(type, x, n, m, smallest, values, indices, stream);
    else if (is_float(type))
        max_as<float>(type, x, n, m, smallest, values, indices, stream);
    else
        max_as<int64_t>(type, x, n, m, smallest, values, indices, stream);
}

}  // namespace demi::gpu_kernels
