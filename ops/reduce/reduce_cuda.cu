// A chunk of fixed size is one block: every thread adds its share in f32 (f64 where an operand is), the block
// adds those in f64, and a second kernel adds the chunks. One chunk needs no second kernel.
#include "ops/reduce/reduce_kernels.h"

#include "ops/kernel_cuda.h"
#include "runtime/strided.h"

namespace demi::DEMI_BACKEND {
namespace {

// Element (k, r) lies at kept(k) + reduced(r) of x and y.
struct SumCall {
    ConstMem x, y;
    Mem out;
    double scale;
    Strided<2> kept, reduced;
    bool inner_reduced;  // neighbours in memory belong to one sum
};

// The groups that are kept, or reduced.
Strided<2> walk_of(const ReduceSum& call, bool reduced) {
    Strided<2> walk{};
    walk.count = 1;
    for (int g = 0; g < call.group_count; ++g) {
        const SumGroup& group = call.groups[g];
        if (group.reduced != reduced) continue;
        walk.sizes[walk.rank] = group.size;
        walk.strides[0][walk.rank] = group.x_step;
        walk.strides[1][walk.rank++] = group.y_step;
        walk.count *= group.size;
    }
    if (walk.rank == 0) walk.sizes[walk.rank++] = 1;
    return walk;
}

constexpr int kThreads = 256;
constexpr int64_t kRowChunk = 8192;       // elements of a block, neighbours reduced: 32 a thread
constexpr int64_t kShortRow = 1024;       // up to here a warp takes a whole sum
constexpr int64_t kColumnChunk = 512;     // rows of a block, neighbours kept
constexpr int kColumns = 32, kLines = 8;  // its threads

template <class C>
DEMI_DEVICE C element(const SumCall& call, const Offsets<2>& kept, int64_t r, C factor = 1) {
    Offsets<2> at;
    if (call.reduced.rank == 1) {
        at.at[0] = r * call.reduced.strides[0][0];
        at.at[1] = r * call.reduced.strides[1][0];
    } else {
        at = offsets_of(call.reduced, r);
    }
    const C x = factor * load_any<C>(call.x.data, call.x.dtype, kept.at[0] + at.at[0]);
    return call.y.data == nullptr ? x : x * load_any<C>(call.y.data, call.y.dtype, kept.at[1] + at.at[1]);
}

// What the threads' shares are added in; integers wrap around.
template <class C> struct TotalOf { typedef double type; };
template <> struct TotalOf<uint64_t> { typedef uint64_t type; };
template <class C> using total_t = typename TotalOf<C>::type;

// Of the elements begin, begin + step, ... below end, those there are.
template <class C>
DEMI_DEVICE total_t<C> share(const SumCall& call, const Offsets<2>& kept, int64_t begin, int64_t end,
                             int64_t step) {
    if (end > call.reduced.count) end = call.reduced.count;
    C sum = 0;
    for (int64_t r = begin; r < end; r += step) sum += element<C>(call, kept, r);
    if constexpr (sizeof(C) == 4)
        if (!gpu::is_finite(sum)) return share<double>(call, kept, begin, end, step);
    return static_cast<total_t<C>>(sum);
}

// f64 has no wider type: one thread adds all elements, each made smaller.
DEMI_DEVICE double sum_of_small(const SumCall& call, int64_t k) {
    const auto kept = offsets_of(call.kept, k);
    double sum = 0;
    for (int64_t r = 0; r < call.reduced.count; ++r) sum += element<double>(call, kept, r, 0x1p-64);
    return sum * call.scale * 0x1p64;
}

template <class C> DEMI_DEVICE void finish(const SumCall& call, int64_t k, double sum) {
    double y = sum * call.scale;
    if constexpr (sizeof(C) == 8)
        if (!gpu::is_finite(y)) y = sum_of_small(call, k);
    store_any<C>(call.out.data, call.out.dtype, k, static_cast<C>(y));
}
template <class C> DEMI_DEVICE void finish(const SumCall& call, int64_t k, uint64_t sum) {
    elements<uint64_t>(call.out)[k] = sum;
}

// A warp per sum adds its elements, or (partials) its chunks.
template <class C> struct WarpKernel {
    static constexpr int threads = kThreads;
    SumCall call;
    const total_t<C>* partials;
    int64_t chunks, chunk_step, kept_step;
    DEMI_DEVICE void operator()() const {
        for_warps<kThreads>(call.kept.count, [&](int64_t k) {
            total_t<C> sum = 0;
            if (partials == nullptr)
                sum = share<C>(call, offsets_of(call.kept, k), gpu::lane(), call.reduced.count, 32);
            else
                for (int64_t i = gpu::lane(); i < chunks; i += 32)
                    sum += partials[k * kept_step + i * chunk_step];
            sum = gpu::warp_sum(sum);
            if (gpu::lane() == 0) finish<C>(call, k, sum);
        });
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
            const auto at = offsets_of(call.kept, k);
            const auto own = share<C>(call, at, begin + gpu::thread_idx().x, begin + kRowChunk, kThreads);
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
            total_t<C> sum = 0;
            if (k < call.kept.count)
                sum = share<C>(call, offsets_of(call.kept, k), begin + line, begin + kColumnChunk, kLines);
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

template <class C> void sum_as(const SumCall& call, Queue queue) {
    const gpu::Dim3 warps = gpu::blocks_for(call.kept.count, kThreads / 32);
    const int64_t chunk = call.inner_reduced ? kRowChunk : kColumnChunk;
    const int64_t chunks = (call.reduced.count + chunk - 1) / chunk;
    const Scratch room(chunks > 1 ? static_cast<size_t>(call.kept.count * chunks) * sizeof(total_t<C>) : 0,
                       queue);
    total_t<C>* partials = chunks > 1 ? room.as<total_t<C>>() : nullptr;
    const gpu::Stream stream = queue.stream;
    if (call.inner_reduced && call.reduced.count <= kShortRow) {
        gpu::launch(WarpKernel<C>{call, nullptr, 0, 0, 0}, warps, {kThreads}, 0, stream);
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
    gpu::launch(WarpKernel<C>{call, partials, chunks, chunk_step, kept_step}, warps, {kThreads}, 0, stream);
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
    ReduceMax call;
    bool long_rows;

    DEMI_DEVICE C element(int64_t at) const {
        const C v = load_any<C>(call.x.data, call.x.dtype, at);
        return call.smallest ? turned(v) : v;
    }
    DEMI_DEVICE void operator()() const {
        const int64_t n = call.rows, m = call.length;
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
            store_any<C>(call.values.data, call.values.dtype, row,
                         call.smallest ? turned(best.value) : best.value);
            elements<int64_t>(call.indices)[row] = best.index;
        }
    }
};

template <class C> void max_as(const ReduceMax& call, Queue queue) {
    const bool long_rows = call.length > 4096;
    gpu::launch(MaxKernel<C>{call, long_rows}, gpu::blocks_for(call.rows, long_rows ? 1 : kThreads / 32),
                {kThreads}, long_rows ? kThreads / 32 * sizeof(Best<C>) : 0, queue.stream);
}

void sum(const ReduceSum& c, Queue queue) {
    const bool inner_reduced = c.group_count == 0 || c.groups[c.group_count - 1].reduced;
    const SumCall call{c.x, c.y, c.out, c.scale, walk_of(c, false), walk_of(c, true), inner_reduced};
    if (c.out.dtype == DType::f64) return sum_as<double>(call, queue);
    c.out.dtype == DType::i64 ? sum_as<uint64_t>(call, queue) : sum_as<float>(call, queue);
}

void max(const ReduceMax& call, Queue queue) {
    if (call.x.dtype == DType::f64) return max_as<double>(call, queue);
    is_float(call.x.dtype) ? max_as<float>(call, queue) : max_as<int64_t>(call, queue);
}

}  // namespace

const ReduceKernels reduce_kernels{sum, max};

}  // namespace demi::DEMI_BACKEND
