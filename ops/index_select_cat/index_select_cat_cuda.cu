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

template <class Rows> DEMI_DEVICE const Rows& part_at(const Parts<Rows>& parts, int64_t tile) {
    return parts
        .all[gpu::first_true(parts.count - 1, [&](int64_t i) { return parts.all[i + 1].first_tile > tile; })];
}

DEMI_HOST_DEVICE bool keeps_bits(const SelectPart& part, DType to) {
    const Cast& cast = part.cast;
    return part.source.dtype == to && !cast.round && cast.scale == 1 && cast.undo == 1;
}

// How elements get into y: as they are, 16 bytes of them or one; or by units across the boundary.
template <class U> struct Copying {
    typedef U Raw;
    static constexpr bool lines = sizeof(U) == 16, counts = false;
    static DEMI_DEVICE int count(int size) { return lines ? 16 / size : 1; }
    static DEMI_DEVICE U load(const SelectPart& part, int64_t at, int size) {
        return *reinterpret_cast<const U*>(static_cast<const char*>(part.source.data) + at * size);
    }
    static DEMI_DEVICE void store(Mem y, int64_t at, const U& raw, const SelectPart&, int size, LaneCount&) {
        *reinterpret_cast<U*>(static_cast<char*>(y.data) + at * size) = raw;
    }
};
template <class Unit, bool kCounts> struct Crossing {
    typedef typename Unit::Raw Raw;
    static constexpr bool lines = Unit::count > 1, counts = kCounts;
    static DEMI_DEVICE int count(int) { return Unit::count; }
    static DEMI_DEVICE Raw load(const SelectPart& part, int64_t at, int) {
        return Unit::load(part.source.data, at, part.source.dtype);
    }
    static DEMI_DEVICE void store(Mem y, int64_t at, const Raw& raw, const SelectPart& part, int,
                                  LaneCount& lost) {
        float x[Unit::count];
        Unit::unpack(x, raw, part.source.dtype);
        Cast cast = part.cast;
        if (!kCounts) cast.count = false;
        Unit::cross(x, cast, lost);
        Unit::store(y.data, at, y.dtype, x);
    }
};

// A thread has several loads on their way.
template <class Way> struct SelectKernel {
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
        const RowTile tile = tile_at(rows.tiles, i - rows.first_tile);
        const int64_t step = Way::lines ? 1 : part.step;
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool one = tile.rows == 1;  // then every thread asks for itself
        int64_t first = 0;
        if (one) {
            first = part.list[tile.row] * part.row_step + tile.column * step;
        } else {
            if (t < tile.rows) from[t] = part.list[tile.row + t] * part.row_step + tile.column * step;
            gpu::sync_threads();
        }
        const int size = static_cast<int>(size_of(call.y.dtype)), unit = Way::count(size);
        const int width = tile.columns / unit, count = width * tile.rows;
        const int64_t to = part.begin + tile.row * part.columns + tile.column;
        for (int begin = t; begin < count; begin += kAhead * kThreads) {
            typename Way::Raw raw[kAhead];
            int64_t dst[kAhead];
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                const int r = one ? 0 : u / width, column = (u - r * width) * unit;
                dst[k] = to + r * part.columns + column;
                raw[k] = Way::load(part, (one ? first : from[r]) + column * step, size);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                if (begin + k * kThreads >= count) break;
                Way::store(call.y, dst[k], raw[k], part, size, lost);
            }
        }
        if constexpr (Way::counts) add_counts(lost, gpu::shared<uint32_t>() + 2 * kMostTileRows, call.lost);
    }
};

// Every block owns rows, and adds what the list has for them in the list's order. The first use of several units is on its
// way at a time.
template <class Unit> struct SelectBackwardKernel {
    static constexpr int threads = kThreads, blocks = 2;
    static constexpr int kAhead = 4, kCount = Unit::count;
    typedef typename Unit::C C;
    typedef typename Unit::Raw Raw;
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
        const int width = tile.columns / kCount, count = width * tile.rows;
        for (int begin = t; begin < count; begin += kAhead * kThreads) {
            Raw raw[kAhead];
            int row[kAhead];
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                row[k] = tile.rows == 1 ? 0 : u / width;
                const int64_t* use = uses + 3 * row[k];
                if (use[0] < use[2]) raw[k] = read(part, use[1], tile.column + (u - row[k] * width) * kCount);
            }
            DEMI_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                const int u = begin + k * kThreads;
                if (u >= count) break;
                const int64_t* use = uses + 3 * row[k];
                const int64_t column = tile.column + (u - row[k] * width) * kCount;
                C x[kCount] = {};
                if (use[0] < use[2]) sum(x, raw[k], part, use[0], use[2], column, entered, left);
                Unit::store(part.part.grad.data, (tile.row + row[k]) * part.part.columns + column,
                            part.part.grad.dtype, x);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + 6 * kMostTileRows;
        add_counts(entered, scratch, call.entered);
        add_counts(left, scratch, call.left);
    }

    DEMI_DEVICE Raw read(const SummedRows& part, int64_t place, int64_t column) const {
        const int64_t at = part.part.begin + place * part.part.columns + column;
        return Unit::load(call.dy.data, kCount == 1 ? at * call.step : at, call.dy.dtype);
    }

    DEMI_DEVICE void sum(C (&x)[kCount], const Raw& raw, const SummedRows& part, int64_t first, int64_t end,
                         int64_t column, LaneCount& entered, LaneCount& left) const {
        Cast entry = call.entry;
        if (end - first == 1) entry.undo = call.exit.undo;
        Unit::unpack(x, raw, call.dy.dtype);
        Unit::cross(x, entry, entered);
        if (end - first == 1) return;
        for (int64_t use = first + 1; use < end; ++use) {
            C more[kCount];
            Unit::unpack(more, read(part, part.uses.places[use], column), call.dy.dtype);
            Unit::cross(more, entry, entered);
            DEMI_UNROLL
            for (int j = 0; j < kCount; ++j) x[j] += more[j];
        }
        Unit::cross(x, call.exit, left);
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

template <class Kernel, class Call, class Rows>
void launch(const Call& call, const Parts<Rows>& parts, Queue queue) {
    gpu::launch(Kernel{call, parts}, {static_cast<unsigned>(parts.tiles)}, {kThreads},
                3 * kMostTileRows * sizeof(int64_t) + kCountScratch, queue.stream);
}

// Of parts; the last two are not aligned.
enum SelectKind { kCopied, kF32, kBf16, kMixed, kCopiedOnes, kOnes, kSelectKinds };

void forward(const IndexSelectCatForward& c, Queue queue) {
    constexpr DType f32 = DType::f32, bf16 = DType::bf16;
    const int64_t size = static_cast<int64_t>(size_of(c.y.dtype));
    IndexSelectCatForward call = c;
    call.parts = nullptr;  // they go to each kernel by themselves
    const auto kind_of = [&](int64_t i) {
        const SelectPart& part = c.parts[i];
        const bool keep = keeps_bits(part, c.y.dtype);
        if (part.step != 1 || part.columns % (keep ? 16 / size : 8) != 0 || part.begin * size % 16 != 0 ||
            !rows_aligned(part.source.data, part.row_step, part.source.dtype) ||
            !rows_aligned(c.y.data, part.columns, c.y.dtype))
            return keep ? kCopiedOnes : kOnes;
        if (keep) return kCopied;
        if (part.source.dtype != c.y.dtype) return kMixed;
        return c.y.dtype == f32 ? kF32 : c.y.dtype == bf16 ? kBf16 : kMixed;
    };
    const auto make = [&](int64_t i) -> TakenRows {
        return {c.parts[i], make_row_tiles(c.parts[i].count, c.parts[i].columns), 0};
    };
    launch_parts<TakenRows>(c.part_count, kSelectKinds, kind_of, make, [&](const auto& parts, int kind) {
        const auto run = [&](auto way) { launch<SelectKernel<decltype(way)>>(call, parts, queue); };
        const auto cross = [&](auto unit) {
            typedef decltype(unit) Unit;
            c.lost != nullptr ? run(Crossing<Unit, true>()) : run(Crossing<Unit, false>());
        };
        if (kind == kCopied) return run(Copying<gpu::Bytes16>());
        if (kind == kF32) return cross(Eights<f32, true>());
        if (kind == kBf16) return cross(Eights<bf16, true>());
        if (kind == kMixed) return run(Crossing<Eights<f32, true, true>, true>());
        if (kind == kOnes) return run(Crossing<Single<float>, true>());
        if (size == 8) return run(Copying<uint64_t>());
        size == 4 ? run(Copying<uint32_t>()) : run(Copying<uint16_t>());
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
        const auto run = [&](auto unit) { launch<SelectBackwardKernel<decltype(unit)>>(call, parts, queue); };
        if (kind == kAligned) return run(Eights<DType::f32, true, true>());
        if (kind == kScattered) return dtype == DType::f64 ? run(Single<double>()) : run(Single<float>());
        if (dtype == DType::f16) return run(Eights<DType::f16, true>());
        dtype == DType::bf16 ? run(Eights<DType::bf16, true>()) : run(Eights<DType::f32, true>());
    });
}

}  // namespace

const IndexSelectCatKernels index_select_cat_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
