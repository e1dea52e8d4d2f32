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
};
struct SummedRows {
    SelectGradient part;
    RowTiles tiles;  // of the gradient
    int64_t first_tile;
    SortedRows uses;
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
constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

template <class Rows> DEMI_DEVICE const Rows& part_at(const Parts<Rows>& parts, int64_t tile) {
    return parts
        .all[gpu::first_true(parts.count - 1, [&](int64_t i) { return parts.all[i + 1].first_tile > tile; })];
}

DEMI_HOST_DEVICE bool keeps_bits(const SelectPart& part, DType to) {
    const Cast& cast = part.cast;
    return part.source.dtype == to && !cast.round && cast.scale == 1 && cast.undo == 1;
}

// One element of 2, 4 or 8 bytes.
DEMI_DEVICE void copy_one(void* y, int64_t dst, const void* x, int64_t src, size_t size) {
    if (size == 2)
        static_cast<uint16_t*>(y)[dst] = static_cast<const uint16_t*>(x)[src];
    else if (size == 4)
        static_cast<uint32_t*>(y)[dst] = static_cast<const uint32_t*>(x)[src];
    else
        static_cast<uint64_t*>(y)[dst] = static_cast<const uint64_t*>(x)[src];
}

// The usual case: parts that are aligned, all of them copied or all cast. A thread has several loads on their way. kType: of
// all parts and y, or (kMixed) none.
template <bool kKeep, bool kCounts, DType kType, bool kMixed = false> struct SelectAlignedKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    IndexSelectCatForward call;
    Parts<TakenRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        const int64_t i = gpu::block_idx().x;
        const TakenRows& rows = part_at(parts, i);
        const SelectPart& part = rows.part;
        const DType type = kMixed ? part.source.dtype : kType;
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
        const int size = static_cast<int>(size_of(call.y.dtype)), unit = kKeep ? 16 / size : 8;
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
                    raw[k].part[0] = gpu::load16(static_cast<const char*>(part.source.data) + src * size);
                else
                    raw[k] = load_raw(part.source.data, src, type);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                if (begin + k * kThreads >= count) break;
                if constexpr (kKeep) {
                    gpu::store16(static_cast<char*>(call.y.data) + dst[k] * size, raw[k].part[0]);
                } else {
                    float x[8];
                    unpack(x, raw[k], type);
                    Cast cast = part.cast;
                    if (!kCounts) cast.count = false;
                    cross_eight(x, cast, lost);
                    store_eight(call.y.data, dst[k], kMixed ? call.y.dtype : kType, x);
                }
            }
        }
        if (kCounts && call.lost != nullptr)
            add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.lost);
    }
};

// Any other parts, an element at a time; f64 is always copied.
struct SelectKernel {
    static constexpr int threads = kThreads;
    IndexSelectCatForward call;
    Parts<TakenRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* from = gpu::shared<int64_t>();  // of each row of the tile: its first element
        LaneCount lost;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const TakenRows& rows = part_at(parts, i);
            const SelectPart& part = rows.part;
            const RowTile tile = tile_at(rows.tiles, i - rows.first_tile);
            const bool keep = keeps_bits(part, call.y.dtype);
            const auto find_row = [&](int r) {
                from[r] = part.list[tile.row + r] * part.row_step + tile.column * part.step;
            };
            for_tile(tile, find_row, [&](int r, int column) {
                const int64_t src = from[r] + column * part.step;
                const int64_t dst = part.begin + (tile.row + r) * part.columns + tile.column + column;
                if (keep)
                    copy_one(call.y.data, dst, part.source.data, src, size_of(call.y.dtype));
                else
                    store_one(call.y.data, dst, call.y.dtype,
                              cross(load_one(part.source.data, src, part.source.dtype), part.cast, lost));
            });
        }
        if (call.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.lost);
    }
};

// Gradients that are aligned: the first use of several units is on its way at a time. kType: of dy and of them, or (kMixed)
// none.
template <DType kType, bool kMixed = false> struct SelectBackwardAlignedKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 4;
    IndexSelectCatBackward call;
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
                store_eight(part.part.grad.data, (tile.row + row[k]) * part.part.columns + column,
                            kMixed ? part.part.grad.dtype : kType, x);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 6 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    DEMI_DEVICE Raw8 read(const SummedRows& part, int64_t place, int64_t column) const {
        return load_raw(call.dy.data, part.part.begin + place * part.part.columns + column, type());
    }
    DEMI_DEVICE DType type() const { return kMixed ? call.dy.dtype : kType; }

    DEMI_DEVICE void sum(float (&x)[8], const Raw8& raw, const SummedRows& part, int64_t first, int64_t end,
                         int64_t column, LaneCount& entered, LaneCount& left) const {
        Cast entry = call.entry;
        if (end - first == 1) entry.undo = call.exit.undo;
        unpack(x, raw, type());
        cross_eight(x, entry, entered);
        if (end - first == 1) return;
        for (int64_t use = first + 1; use < end; ++use) {
            float more[8];
            unpack(more, read(part, part.uses.places[use], column), type());
            cross_eight(more, entry, entered);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] += more[j];
        }
        cross_eight(x, call.exit, left);
    }
};

// Any other gradients: every block owns rows, and adds what the list has for them in the list's order; in C.
template <class C> struct SelectBackwardKernel {
    static constexpr int threads = kThreads;
    IndexSelectCatBackward call;
    Parts<SummedRows> parts;

    DEMI_DEVICE void operator()() const {
        int64_t* uses = gpu::shared<int64_t>();  // of each row of the tile: its first use, then their number
        LaneCount entered, left;
        for (int64_t i = gpu::block_idx().x; i < parts.tiles; i += gpu::grid_dim().x) {
            const SummedRows& part = part_at(parts, i);
            const RowTile tile = tile_at(part.tiles, i - part.first_tile);
            const auto find_uses = [&](int r) {
                uses[2 * r] = part.uses.find(tile.row + r);
                uses[2 * r + 1] = part.uses.find(tile.row + r + 1) - uses[2 * r];
            };
            for_tile(tile, find_uses, [&](int r, int column) {
                const int64_t at = tile.column + column;
                const C x = sum(part, part.uses.places + uses[2 * r], uses[2 * r + 1], at, entered, left);
                store_one(part.part.grad.data, (tile.row + r) * part.part.columns + at, part.part.grad.dtype,
                          x);
            });
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 4 * kMostTileRows;
        if (call.entered != nullptr) add_counts(entered, scratch, call.entered);
        if (call.left != nullptr) add_counts(left, scratch, call.left);
    }

    DEMI_DEVICE C sum(const SummedRows& part, const int64_t* named, int64_t count, int64_t column,
                      LaneCount& entered, LaneCount& left) const {
        C x = 0;
        Cast entry = call.entry;
        if (count == 1) entry.undo = call.exit.undo;
        for (int64_t use = 0; use < count; ++use) {
            const int64_t at = part.part.begin + named[use] * part.part.columns + column;
            const C y = cross(load_as<C>(call.dy.data, at * call.step, call.dy.dtype), entry, entered);
            x = use == 0 ? y : x + y;
        }
        return count > 1 ? cross(x, call.exit, left) : x;
    }
};

// run(parts, kind) for the parts of each kind in turn, at most kMostParts at a time. make(i): part i; kind_of(i): below kinds.
template <class Rows, class Kind, class Make, class Run>
void launch_parts(int64_t count, int kinds, const Kind& kind_of, const Make& make, const Run& run) {
    for (int kind = 0; kind < kinds; ++kind) {
        Parts<Rows> parts{};
        for (int64_t i = 0; i < count; ++i) {
            if (kind_of(i) != kind) continue;
            parts.add(make(i));
            if (parts.count < kMostParts) continue;
            run(parts, kind);
            parts = {};
        }
        if (parts.count > 0) run(parts, kind);
    }
}

enum SelectKind {
    kCopied,
    kF32,
    kBf16,
    kMixed,
    kOther,
    kSelectKinds
};  // of parts: the first four are aligned

void forward(const IndexSelectCatForward& c, Queue queue) {
    const int64_t size = static_cast<int64_t>(size_of(c.y.dtype));
    IndexSelectCatForward call = c;
    call.parts = nullptr;  // they go to each kernel by themselves
    const auto kind_of = [&](int64_t i) {
        const SelectPart& part = c.parts[i];
        const bool keep = keeps_bits(part, c.y.dtype);
        if (part.step != 1 || part.columns % (keep ? 16 / size : 8) != 0 || part.begin * size % 16 != 0 ||
            !rows_aligned(part.source.data, part.row_step, part.source.dtype) ||
            !rows_aligned(c.y.data, part.columns, c.y.dtype))
            return kOther;
        if (keep) return kCopied;
        const DType alike = part.source.dtype == c.y.dtype ? c.y.dtype : DType::f64;
        return alike == DType::f32 ? kF32 : alike == DType::bf16 ? kBf16 : kMixed;
    };
    const auto make = [&](int64_t i) -> TakenRows {
        return {c.parts[i], make_row_tiles(c.parts[i].count, c.parts[i].columns), 0};
    };
    launch_parts<TakenRows>(c.part_count, kSelectKinds, kind_of, make, [&](const auto& parts, int kind) {
        constexpr DType f32 = DType::f32, bf16 = DType::bf16;
        const auto launch = [&](const auto& kernel, gpu::Dim3 grid) {
            gpu::launch(kernel, grid, {kThreads}, kMostTileRows * sizeof(int64_t) + kCountScratch,
                        queue.stream);
        };
        const gpu::Dim3 each{static_cast<unsigned>(parts.tiles)};
        const bool counted = c.lost != nullptr;
        if (kind == kCopied)
            launch(SelectAlignedKernel<true, false, f32>{call, parts}, each);
        else if (kind == kF32 && counted)
            launch(SelectAlignedKernel<false, true, f32>{call, parts}, each);
        else if (kind == kF32)
            launch(SelectAlignedKernel<false, false, f32>{call, parts}, each);
        else if (kind == kBf16 && counted)
            launch(SelectAlignedKernel<false, true, bf16>{call, parts}, each);
        else if (kind == kBf16)
            launch(SelectAlignedKernel<false, false, bf16>{call, parts}, each);
        else if (kind == kMixed)
            launch(SelectAlignedKernel<false, true, f32, true>{call, parts}, each);
        else
            launch(SelectKernel{call, parts}, gpu::blocks_for(parts.tiles, 1, kMostBlocks));
    });
}

enum GradientKind { kAlike, kAligned, kScattered, kGradientKinds };  // kAlike: aligned and of dy's dtype

void backward(const IndexSelectCatBackward& c, Queue queue) {
    const DType dtype = c.dy.dtype;
    IndexSelectCatBackward call = c;
    call.grads = nullptr;
    int64_t words = 0;
    for (int64_t i = 0; i < c.grad_count; ++i) words += sorted_rows_words(c.grads[i].count, c.grads[i].rows);
    const Scratch memory(static_cast<size_t>(words) * sizeof(int64_t), queue);
    int64_t* next = memory.as<int64_t>();
    const auto kind_of = [&](int64_t i) {
        const SelectGradient& g = c.grads[i];
        if (dtype == DType::f64 || c.step != 1 || g.columns % 8 != 0 ||
            g.begin * static_cast<int64_t>(size_of(dtype)) % 16 != 0 ||
            !rows_aligned(c.dy.data, g.columns, dtype) || !rows_aligned(g.grad.data, g.columns, g.grad.dtype))
            return kScattered;
        return g.grad.dtype == dtype ? kAlike : kAligned;
    };
    const auto make = [&](int64_t i) -> SummedRows {
        const SelectGradient& g = c.grads[i];
        const SortedRows uses = sort_rows(g.list, g.count, g.rows, next, queue);
        next += sorted_rows_words(g.count, g.rows);
        return {g, make_row_tiles(g.rows, g.columns), 0, uses};
    };
    launch_parts<SummedRows>(c.grad_count, kGradientKinds, kind_of, make, [&](const auto& parts, int kind) {
        const auto launch = [&](const auto& kernel, gpu::Dim3 grid) {
            gpu::launch(kernel, grid, {kThreads}, 3 * kMostTileRows * sizeof(int64_t) + kCountScratch,
                        queue.stream);
        };
        const gpu::Dim3 each{static_cast<unsigned>(parts.tiles)};
        const gpu::Dim3 some = gpu::blocks_for(parts.tiles, 1, kMostBlocks);
        if (kind == kAligned)
            launch(SelectBackwardAlignedKernel<DType::f32, true>{call, parts}, each);
        else if (kind == kScattered && dtype == DType::f64)
            launch(SelectBackwardKernel<double>{call, parts}, some);
        else if (kind == kScattered)
            launch(SelectBackwardKernel<float>{call, parts}, some);
        else if (dtype == DType::f16)
            launch(SelectBackwardAlignedKernel<DType::f16>{call, parts}, each);
        else if (dtype == DType::bf16)
            launch(SelectBackwardAlignedKernel<DType::bf16>{call, parts}, each);
        else
            launch(SelectBackwardAlignedKernel<DType::f32>{call, parts}, each);
    });
}

}  // namespace

const IndexSelectCatKernels index_select_cat_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
