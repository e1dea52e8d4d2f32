#include "ops/index_select_cat/index_select_cat_cuda.h"

#include "ops/boundary/boundary_lane_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

DEMI_DEVICE const SelectPart& part_at(const SelectParts& parts, int64_t tile) {
    const SelectPart* all = parts.table != nullptr ? parts.table : parts.here;
    int64_t low = 0, high = parts.count - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (all[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return all[low];
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

// The usual case: parts that are wide and alike. A thread has several loads on their way.
template <bool kKeep, bool kCounts, Storage kFrom, Storage kTo> struct SelectAlikeKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    SelectForward call;
    SelectParts parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        const int64_t i = gpu::block_idx().x;
        const SelectPart& part = part_at(parts, i);
        const RowTile tile = tile_at(part.tiles, i - part.first_tile);
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
        const int64_t to = part.begin + tile.row * part.tiles.columns + tile.column;
        for (int begin = t; begin < count; begin += kAhead * kThreads) {
            Raw8 raw[kAhead];
            int64_t dst[kAhead];
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                const int r = one ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t src = (one ? first : from[r]) + column;
                dst[k] = to + r * part.tiles.columns + column;
                if constexpr (kKeep)
                    raw[k].part[0] =
                        gpu::load16(static_cast<const char*>(part.source) + src * call.element_size);
                else
                    raw[k] = load_raw(part.source, src, kFrom);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                if (begin + k * kThreads >= count) break;
                if constexpr (kKeep) {
                    gpu::store16(static_cast<char*>(call.y) + dst[k] * call.element_size, raw[k].part[0]);
                } else {
                    float x[8];
                    unpack(x, raw[k], kFrom);
                    Cast cast = part.cast;
                    if (!kCounts) cast.count = false;
                    cross_eight(x, cast, lost);
                    store_eight(call.y, dst[k], kTo, x);
                }
            }
        }
        if constexpr (kCounts) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.sums);
    }
};

// What the alike parts do not fit, in any mixture.
struct SelectKernel {
    static constexpr int threads = kThreads;
    SelectForward call;
    SelectParts parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const SelectPart& part = part_at(parts, i);
            const RowTile tile = tile_at(part.tiles, i - part.first_tile);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) from[t] = part.list[tile.row + t] * part.row_step + tile.column * part.step;
            gpu::sync_threads();
            const int unit = !part.wide ? 1 : part.keep ? 16 / call.element_size : 8;
            const int width = tile.columns / unit;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t src = from[r] + column * part.step;
                const int64_t dst = part.begin + (tile.row + r) * part.tiles.columns + tile.column + column;
                move(part, src, dst, lost);
            }
        }
        if (call.sums != nullptr) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.sums);
    }

    DEMI_DEVICE void move(const SelectPart& part, int64_t src, int64_t dst, LaneCount& lost) const {
        if (part.keep) {
            const char* x = static_cast<const char*>(part.source) + src * call.element_size;
            char* y = static_cast<char*>(call.y) + dst * call.element_size;
            if (part.wide)
                gpu::store16(y, gpu::load16(x));
            else
                copy_one(y, x, call.element_size);
            return;
        }
        const Cast cast = part.cast;
        if (!part.wide)
            return store_one(call.y, dst, call.to,
                             cross(load_one(part.source, src, part.storage), cast, lost));
        float x[8];
        load_eight(x, part.source, src, part.storage);
        cross_eight(x, cast, lost);
        store_eight(call.y, dst, call.to, x);
    }
};

// Gradients that are wide and of dy's storage: the first use of several units is on its way at a time.
template <Storage kStorage> struct SelectBackwardAlikeKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    SelectBackward call;
    SelectParts parts;

    DEMI_DEVICE void operator()() const {
        int64_t* uses = gpu::shared<int64_t>();  // of each row of the tile: its first use, its place, the end
        LaneCount entered, left;
        const int64_t i = gpu::block_idx().x;
        const SelectPart& part = part_at(parts, i);
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
                store_eight(part.grad, (tile.row + row[k]) * part.tiles.columns + column, kStorage, x);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 6 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    DEMI_DEVICE Raw8 read(const SelectPart& part, int64_t place, int64_t column) const {
        return load_raw(call.dy, part.begin + place * part.tiles.columns + column, kStorage);
    }

    DEMI_DEVICE void sum(float (&x)[8], const Raw8& raw, const SelectPart& part, int64_t first, int64_t end,
                         int64_t column, LaneCount& entered, LaneCount& left) const {
        Cast entry = call.entry;
        if (end - first == 1) entry.undo = call.exit.undo;
        unpack(x, raw, kStorage);
        cross_eight(x, entry, entered);
        if (end - first == 1) return;
        for (int64_t use = first + 1; use < end; ++use) {
            float more[8];
            unpack(more, read(part, part.uses.places[use], column), kStorage);
            cross_eight(more, entry, entered);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] += more[j];
        }
        cross_eight(x, call.exit, left);
    }
};

// Every block owns rows of a gradient, and adds what the list has for them in the list's order.
struct SelectBackwardKernel {
    static constexpr int threads = kThreads;
    SelectBackward call;
    SelectParts parts;

    DEMI_DEVICE void operator()() const {
        int64_t* uses = gpu::shared<int64_t>();  // of each row of the tile: its first use, then their number
        LaneCount entered, left;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const SelectPart& part = part_at(parts, i);
            const RowTile tile = tile_at(part.tiles, i - part.first_tile);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) {
                const int64_t first = part.uses.find(tile.row + t);
                uses[2 * t] = first;
                uses[2 * t + 1] = part.uses.find(tile.row + t + 1) - first;
            }
            gpu::sync_threads();
            const int unit = part.wide ? 8 : 1, width = tile.columns / unit;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width, column = (u - r * width) * unit;
                const int64_t dst = (tile.row + r) * part.tiles.columns + tile.column + column;
                const int64_t* named = part.uses.places + uses[2 * r];
                if (call.f64)
                    sum_f64(part, named, uses[2 * r + 1], tile.column + column, dst);
                else if (part.wide)
                    sum<8>(part, named, uses[2 * r + 1], tile.column + column, dst, entered, left);
                else
                    sum<1>(part, named, uses[2 * r + 1], tile.column + column, dst, entered, left);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 4 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    template <int N> DEMI_DEVICE void load(float (&x)[N], int64_t at) const {
        if constexpr (N == 8)
            load_eight(x, call.dy, at, call.from);
        else
            x[0] = load_one(call.dy, at * call.step, call.from);
    }

    template <int N>
    DEMI_DEVICE void sum(const SelectPart& part, const int64_t* named, int64_t count, int64_t column,
                         int64_t dst, LaneCount& entered, LaneCount& left) const {
        float x[N], more[N];
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) x[j] = 0;
        Cast entry = call.entry;
        if (count == 1) entry.undo = call.exit.undo;
        for (int64_t use = 0; use < count; ++use) {
            load(more, part.begin + named[use] * part.tiles.columns + column);
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) {
                const float y = cross(more[j], entry, entered);
                x[j] = use == 0 ? y : x[j] + y;
            }
        }
        if (count > 1) {
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) x[j] = cross(x[j], call.exit, left);
        }
        if constexpr (N == 8)
            store_eight(part.grad, dst, part.storage, x);
        else
            store_one(part.grad, dst, part.storage, x[0]);
    }

    DEMI_DEVICE void sum_f64(const SelectPart& part, const int64_t* named, int64_t count, int64_t column,
                             int64_t dst) const {
        const double* dy = static_cast<const double*>(call.dy);
        double x = 0;
        for (int64_t use = 0; use < count; ++use) {
            const double y = dy[(part.begin + named[use] * part.tiles.columns + column) * call.step];
            x = use == 0 ? y : x + y;
        }
        static_cast<double*>(part.grad)[dst] = x;
    }
};

}  // namespace

void launch_select(const SelectForward& call, const SelectParts& parts, SelectAlike how, gpu::Stream stream) {
    constexpr size_t kShared = kMostTileRows * sizeof(int64_t) + kCountScratch;
    const auto launch_alike = [&](const auto& kernel) {
        gpu::launch(kernel, {static_cast<unsigned>(parts.tiles)}, {kThreads}, kShared, stream);
    };
    constexpr Storage f32 = Storage::f32, bf16 = Storage::bf16;
    const bool fits = how.alike && parts.tiles <= int64_t{0x7fffffff}, counted = call.sums != nullptr;
    if (fits && how.keep)
        launch_alike(SelectAlikeKernel<true, false, f32, f32>{call, parts});
    else if (fits && how.from == f32 && call.to == f32 && counted)
        launch_alike(SelectAlikeKernel<false, true, f32, f32>{call, parts});
    else if (fits && how.from == f32 && call.to == f32)
        launch_alike(SelectAlikeKernel<false, false, f32, f32>{call, parts});
    else if (fits && how.from == bf16 && call.to == bf16 && counted)
        launch_alike(SelectAlikeKernel<false, true, bf16, bf16>{call, parts});
    else if (fits && how.from == bf16 && call.to == bf16)
        launch_alike(SelectAlikeKernel<false, false, bf16, bf16>{call, parts});
    else
        gpu::launch(SelectKernel{call, parts}, gpu::blocks_for(parts.tiles, 1, kMostBlocks), {kThreads},
                    kShared, stream);
}

void launch_select_backward(const SelectBackward& call, const SelectParts& parts, bool alike,
                            gpu::Stream stream) {
    if (alike && parts.tiles <= int64_t{0x7fffffff}) {
        const auto launch_alike = [&](const auto& kernel) {
            gpu::launch(kernel, {static_cast<unsigned>(parts.tiles)}, {kThreads},
                        3 * kMostTileRows * sizeof(int64_t) + kCountScratch, stream);
        };
        if (call.from == Storage::f16)
            return launch_alike(SelectBackwardAlikeKernel<Storage::f16>{call, parts});
        if (call.from == Storage::bf16)
            return launch_alike(SelectBackwardAlikeKernel<Storage::bf16>{call, parts});
        return launch_alike(SelectBackwardAlikeKernel<Storage::f32>{call, parts});
    }
    gpu::launch(SelectBackwardKernel{call, parts}, gpu::blocks_for(parts.tiles, 1, kMostBlocks), {kThreads},
                2 * kMostTileRows * sizeof(int64_t) + kCountScratch, stream);
}

}  // namespace demi::gpu_kernels
