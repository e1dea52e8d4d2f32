#include "ops/index_select_cat/index_select_cat_kernels.h"

#include "ops/boundary/boundary_cuda.h"
#include "ops/index/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kMostParts = 16;  // of a launch

// One source on its way into y, or one gradient out of dy.
struct TakenRows {
    SelectPart part;
    RowTiles tiles;      // of y's part
    int64_t first_tile;  // of all parts' tiles
    bool keep;           // bits are copied
    bool aligned;        // sixteen bytes at a time
};
struct SummedRows {
    SelectGradient part;
    RowTiles tiles;  // of the gradient
    int64_t first_tile;
    SortedRows uses;
    bool aligned;
};
template <class Rows> struct Parts {
    int64_t count, tiles;
    Rows all[kMostParts];

    void add(Rows rows) {
        rows.first_tile = tiles;
        tiles += rows.tiles.tiles;
        all[count++] = rows;
    }
};
struct SelectForward {
    void* y;
    DType to;
    int element_size;  // of y
    CastCounters* lost;
};
struct SelectBackward {
    ConstMem dy;
    int64_t step;
    Cast entry, exit;
    CastCounters *entered, *left;
};

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

template <class Rows> DEMI_DEVICE const Rows& part_at(const Parts<Rows>& parts, int64_t tile) {
    int64_t low = 0, high = parts.count - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (parts.all[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return parts.all[low];
}

// One element of 2, 4 or 8 bytes.
DEMI_DEVICE void copy_one(char* dst, const char* src, int size) {
    if (size == 2)
        *reinterpret_cast<uint16_t*>(dst) = *reinterpret_cast<const uint16_t*>(src);
    else if (size == 4)
        *reinterpret_cast<uint32_t*>(dst) = *reinterpret_cast<const uint32_t*>(src);
    else
        *reinterpret_cast<uint64_t*>(dst) = *reinterpret_cast<const uint64_t*>(src);
}

// The usual case: all parts are aligned and of one dtype, and all are copied or all are cast. A thread has
// several loads on their way.
template <bool kKeep, bool kCounts, DType kType> struct SelectAlignedKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    SelectForward call;
    Parts<TakenRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        const int64_t i = gpu::block_idx().x;
        const TakenRows& rows = part_at(parts, i);
        const SelectPart& part = rows.part;
        const RowTile tile = tile_at(rows.tiles, i - rows.first_tile);
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool one = tile.rows == 1;  // then every thread asks for itself
        int64_t first = 0;
        if (one) {
            first = part.list[tile.row] * part.row_step + tile.column;
        } else {
            if (t < tile.rows) from[t] = part.list[tile.row + t] * part.row_step + tile.column;
            gpu::sync_threads();
        }
        const int unit = kKeep ? 16 / call.element_size : 8;
        const int width = tile.columns / unit, count = width * tile.rows;
        const int64_t to = part.begin + tile.row * part.columns + tile.column;
        for (int begin = t; begin < count; begin += kAhead * kThreads) {
            Raw8 raw[kAhead];
            int64_t dst[kAhead];
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                const int r = one ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t src = (one ? first : from[r]) + column;
                dst[k] = to + r * part.columns + column;
                if constexpr (kKeep)
                    raw[k].part[0] =
                        gpu::load16(static_cast<const char*>(part.source.data) + src * call.element_size);
                else
                    raw[k] = load_raw(part.source.data, src, kType);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                if (begin + k * kThreads >= count) break;
                if constexpr (kKeep) {
                    gpu::store16(static_cast<char*>(call.y) + dst[k] * call.element_size, raw[k].part[0]);
                } else {
                    float x[8];
                    unpack(x, raw[k], kType);
                    Cast cast = part.cast;
                    if (!kCounts) cast.count = false;
                    cross_eight(x, cast, lost);
                    store_eight(call.y, dst[k], kType, x);
                }
            }
        }
        if constexpr (kCounts) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.lost);
    }
};

// Any mixture of parts.
struct SelectKernel {
    static constexpr int threads = kThreads;
    SelectForward call;
    Parts<TakenRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const TakenRows& rows = part_at(parts, i);
            const SelectPart& part = rows.part;
            const RowTile tile = tile_at(rows.tiles, i - rows.first_tile);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) from[t] = part.list[tile.row + t] * part.row_step + tile.column * part.step;
            gpu::sync_threads();
            const int unit = !rows.aligned ? 1 : rows.keep ? 16 / call.element_size : 8;
            const int width = tile.columns / unit;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t src = from[r] + column * part.step;
                const int64_t dst = part.begin + (tile.row + r) * part.columns + tile.column + column;
                move(rows, src, dst, lost);
            }
        }
        if (call.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.lost);
    }

    DEMI_DEVICE void move(const TakenRows& rows, int64_t src, int64_t dst, LaneCount& lost) const {
        const ConstMem& from = rows.part.source;
        if (rows.keep) {
            const char* x = static_cast<const char*>(from.data) + src * call.element_size;
            char* y = static_cast<char*>(call.y) + dst * call.element_size;
            if (rows.aligned)
                gpu::store16(y, gpu::load16(x));
            else
                copy_one(y, x, call.element_size);
            return;
        }
        const Cast cast = rows.part.cast;
        if (!rows.aligned)
            return store_one(call.y, dst, call.to, cross(load_one(from.data, src, from.dtype), cast, lost));
        float x[8];
        load_eight(x, from.data, src, from.dtype);
        cross_eight(x, cast, lost);
        store_eight(call.y, dst, call.to, x);
    }
};

// Gradients that are aligned and of dy's dtype: the first use of several units is on its way at a time.
template <DType kType> struct SelectBackwardAlignedKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    SelectBackward call;
    Parts<SummedRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* uses = gpu::shared<int64_t>();  // of each row of the tile: its first use, its place, the end
        LaneCount entered, left;
        const int64_t i = gpu::block_idx().x;
        const SummedRows& part = part_at(parts, i);
        const RowTile tile = tile_at(part.tiles, i - part.first_tile);
        const int t = static_cast<int>(gpu::thread_idx().x);
        if (t < tile.rows) {
            uses[3 * t] = part.uses.find(tile.row + t);
            uses[3 * t + 2] = part.uses.find(tile.row + t + 1);
            if (uses[3 * t] < uses[3 * t + 2]) uses[3 * t + 1] = part.uses.places[uses[3 * t]];
        }
        gpu::sync_threads();
        const int width = tile.columns / 8, count = width * tile.rows;
        for (int begin = t; begin < count; begin += kAhead * kThreads) {
            Raw8 raw[kAhead];
            int row[kAhead];
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                row[k] = tile.rows == 1 ? 0 : u / width;
                const int64_t* use = uses + 3 * row[k];
                if (use[0] < use[2]) raw[k] = read(part, use[1], tile.column + (u - row[k] * width) * 8);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                const int64_t* use = uses + 3 * row[k];
                const int64_t column = tile.column + (u - row[k] * width) * 8;
                float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
                if (use[0] < use[2]) sum(x, raw[k], part, use[0], use[2], column, entered, left);
                store_eight(part.part.grad.data, (tile.row + row[k]) * part.part.columns + column, kType, x);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 6 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    DEMI_DEVICE Raw8 read(const SummedRows& part, int64_t place, int64_t column) const {
        return load_raw(call.dy.data, part.part.begin + place * part.part.columns + column, kType);
    }

    DEMI_DEVICE void sum(float (&x)[8], const Raw8& raw, const SummedRows& part, int64_t first, int64_t end,
                         int64_t column, LaneCount& entered, LaneCount& left) const {
        Cast entry = call.entry;
        if (end - first == 1) entry.undo = call.exit.undo;
        unpack(x, raw, kType);
        cross_eight(x, entry, entered);
        if (end - first == 1) return;
        for (int64_t use = first + 1; use < end; ++use) {
            float more[8];
            unpack(more, read(part, part.uses.places[use], column), kType);
            cross_eight(more, entry, entered);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] += more[j];
        }
        cross_eight(x, call.exit, left);
    }
};

// Every block owns rows of a gradient, and adds what the list has for them in the list's order; in C.
template <class C> struct SelectBackwardKernel {
    static constexpr int threads = kThreads;
    SelectBackward call;
    Parts<SummedRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* uses = gpu::shared<int64_t>();  // of each row of the tile: its first use, then their number
        LaneCount entered, left;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const SummedRows& part = part_at(parts, i);
            const RowTile tile = tile_at(part.tiles, i - part.first_tile);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) {
                const int64_t first = part.uses.find(tile.row + t);
                uses[2 * t] = first;
                uses[2 * t + 1] = part.uses.find(tile.row + t + 1) - first;
            }
            gpu::sync_threads();
            const int unit = part.aligned ? 8 : 1, width = tile.columns / unit;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t dst = (tile.row + r) * part.part.columns + tile.column + column;
                const int64_t* named = part.uses.places + uses[2 * r];
                if constexpr (sizeof(C) == 4) {
                    if (part.aligned) {
                        sum<8>(part, named, uses[2 * r + 1], tile.column + column, dst, entered, left);
                        continue;
                    }
                }
                sum<1>(part, named, uses[2 * r + 1], tile.column + column, dst, entered, left);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 4 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    template <int N> DEMI_DEVICE void load(C (&x)[N], int64_t at) const {
        if constexpr (sizeof(C) == 8)
            x[0] = static_cast<const double*>(call.dy.data)[at * call.step];
        else if constexpr (N == 8)
            load_eight(x, call.dy.data, at, call.dy.dtype);
        else
            x[0] = load_one(call.dy.data, at * call.step, call.dy.dtype);
    }
    template <int N> static DEMI_DEVICE void store(const Mem& to, int64_t at, const C (&x)[N]) {
        if constexpr (sizeof(C) == 8)
            static_cast<double*>(to.data)[at] = x[0];
        else if constexpr (N == 8)
            store_eight(to.data, at, to.dtype, x);
        else
            store_one(to.data, at, to.dtype, x[0]);
    }
    static DEMI_DEVICE float crossed(float x, const Cast& cast, LaneCount& lost) {
        return cross(x, cast, lost);
    }
    static DEMI_DEVICE double crossed(double x, const Cast&, LaneCount&) { return x; }

    template <int N>
    DEMI_DEVICE void sum(const SummedRows& part, const int64_t* named, int64_t count, int64_t column,
                         int64_t dst, LaneCount& entered, LaneCount& left) const {
        C x[N], more[N];
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) x[j] = 0;
        Cast entry = call.entry;
        if (count == 1) entry.undo = call.exit.undo;
        for (int64_t use = 0; use < count; ++use) {
            load(more, part.part.begin + named[use] * part.part.columns + column);
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) {
                const C y = crossed(more[j], entry, entered);
                x[j] = use == 0 ? y : x[j] + y;
            }
        }
        if (count > 1) {
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) x[j] = crossed(x[j], call.exit, left);
        }
        store(part.part.grad, dst, x);
    }
};

bool keeps_bits(const Cast& cast) { return !cast.round && cast.scale == 1 && cast.undo == 1; }

// Launches, at most kMostParts at a time.
void launch(const IndexSelectCatForward& c, const Parts<TakenRows>& parts, bool alike, Queue queue) {
    constexpr size_t kShared = kMostTileRows * sizeof(int64_t) + kCountScratch;
    const DType from = parts.all[0].part.source.dtype, to = c.y.dtype;
    const bool keep = parts.all[0].keep, counted = c.lost != nullptr;
    const SelectForward call{c.y.data, to, static_cast<int>(size_of(to)), c.lost};
    const auto aligned = [&](const auto& kernel) {
        gpu::launch(kernel, {static_cast<unsigned>(parts.tiles)}, {kThreads}, kShared, queue.stream);
    };
    constexpr DType f32 = DType::f32, bf16 = DType::bf16;
    const bool fits = alike && parts.tiles <= int64_t{0x7fffffff};
    if (fits && keep)
        aligned(SelectAlignedKernel<true, false, f32>{call, parts});
    else if (fits && from == f32 && to == f32 && counted)
        aligned(SelectAlignedKernel<false, true, f32>{call, parts});
    else if (fits && from == f32 && to == f32)
        aligned(SelectAlignedKernel<false, false, f32>{call, parts});
    else if (fits && from == bf16 && to == bf16 && counted)
        aligned(SelectAlignedKernel<false, true, bf16>{call, parts});
    else if (fits && from == bf16 && to == bf16)
        aligned(SelectAlignedKernel<false, false, bf16>{call, parts});
    else
        gpu::launch(SelectKernel{call, parts}, gpu::blocks_for(parts.tiles, 1, kMostBlocks), {kThreads},
                    kShared, queue.stream);
}

void forward(const IndexSelectCatForward& c, Queue queue) {
    const int64_t to_size = static_cast<int64_t>(size_of(c.y.dtype));
    for (int64_t i = 0; i < c.part_count;) {
        Parts<TakenRows> parts{};
        bool alike = true;
        for (; i < c.part_count && parts.count < kMostParts; ++i) {
            const SelectPart& part = c.parts[i];
            TakenRows rows{part, make_row_tiles(part.count, part.columns), 0, false, false};
            rows.keep = part.source.dtype == c.y.dtype && keeps_bits(part.cast);
            const int64_t unit = rows.keep ? 16 / to_size : 8;
            rows.aligned = (part.step == 1 || part.columns == 1) && part.columns % unit == 0 &&
                           rows_aligned(part.source.data, part.row_step, part.source.dtype) &&
                           part.begin * to_size % 16 == 0 && rows_aligned(c.y.data, part.columns, c.y.dtype);
            parts.add(rows);
            const TakenRows& first = parts.all[0];
            alike = alike && rows.aligned && rows.keep == first.keep &&
                    (rows.keep || part.source.dtype == first.part.source.dtype);
        }
        launch(c, parts, alike, queue);
    }
}

void backward(const IndexSelectCatBackward& c, Queue queue) {
    const SelectBackward call{c.dy, c.step, c.entry, c.exit, c.entered, c.left};
    const bool f64 = c.dy.dtype == DType::f64;
    int64_t words = 0;
    for (int64_t i = 0; i < c.grad_count; ++i) words += sorted_rows_words(c.grads[i].count, c.grads[i].rows);
    const Scratch memory(static_cast<size_t>(words) * sizeof(int64_t), queue);
    int64_t* next = memory.as<int64_t>();
    for (int64_t i = 0; i < c.grad_count;) {
        Parts<SummedRows> parts{};
        bool alike = !f64;
        for (; i < c.grad_count && parts.count < kMostParts; ++i) {
            const SelectGradient& g = c.grads[i];
            const SortedRows uses = sort_rows(g.list, g.count, g.rows, next, queue);
            next += sorted_rows_words(g.count, g.rows);
            const bool aligned = !f64 && c.step == 1 && g.columns % 8 == 0 &&
                                 g.begin * static_cast<int64_t>(size_of(c.dy.dtype)) % 16 == 0 &&
                                 rows_aligned(c.dy.data, g.columns, c.dy.dtype) &&
                                 rows_aligned(g.grad.data, g.columns, g.grad.dtype);
            parts.add({g, make_row_tiles(g.rows, g.columns), 0, uses, aligned});
            alike = alike && aligned && g.grad.dtype == c.dy.dtype;
        }
        const auto aligned = [&](const auto& kernel) {
            gpu::launch(kernel, {static_cast<unsigned>(parts.tiles)}, {kThreads},
                        3 * kMostTileRows * sizeof(int64_t) + kCountScratch, queue.stream);
        };
        const auto any = [&](const auto& kernel) {
            gpu::launch(kernel, gpu::blocks_for(parts.tiles, 1, kMostBlocks), {kThreads},
                        2 * kMostTileRows * sizeof(int64_t) + kCountScratch, queue.stream);
        };
        if (f64)
            any(SelectBackwardKernel<double>{call, parts});
        else if (!alike || parts.tiles > int64_t{0x7fffffff})
            any(SelectBackwardKernel<float>{call, parts});
        else if (c.dy.dtype == DType::f16)
            aligned(SelectBackwardAlignedKernel<DType::f16>{call, parts});
        else if (c.dy.dtype == DType::bf16)
            aligned(SelectBackwardAlignedKernel<DType::bf16>{call, parts});
        else
            aligned(SelectBackwardAlignedKernel<DType::f32>{call, parts});
    }
}

}  // namespace

const IndexSelectCatKernels index_select_cat_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
