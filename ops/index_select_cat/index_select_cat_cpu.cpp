#include "ops/index_select_cat/index_select_cat_kernels.h"

#include "ops/boundary/boundary_cpu.h"
#include "ops/index/row_uses_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kTile = 65536;  // elements
constexpr int64_t kBlock = 1024;  // elements on the way through the first-level cache

DEMI_INLINE const char* place_of(ConstMem m, int64_t at) {
    return static_cast<const char*>(m.data) + at * size_in_bytes(m.dtype);
}

// Elements `step` apart, one after the other.
template <class T> DEMI_INLINE void gather_elements(void* to, const char* from, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; ++i) static_cast<T*>(to)[i] = reinterpret_cast<const T*>(from)[i * step];
}
void copy_elements(void* to, const char* from, int64_t count, int64_t step, int64_t size) {
    if (step == 1)
        __builtin_memcpy(to, from, static_cast<size_t>(count * size));
    else if (size == 2)
        gather_elements<uint16_t>(to, from, count, step);
    else if (size == 4)
        gather_elements<uint32_t>(to, from, count, step);
    else
        gather_elements<uint64_t>(to, from, count, step);
}

// to (contiguous) = cast(from).
void move(Mem to, ConstMem from, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
          bool stream) {
    const bool same = from.dtype == to.dtype && !cast.round && cast.scale == 1 && cast.undo == 1;
    const bool floats = to.dtype == DType::f32;
    if (same && !(floats && stream && step == 1))
        return copy_elements(to.data, static_cast<const char*>(from.data), count, step,
                             size_in_bytes(to.dtype));
    if (floats) return load_row(elements<float>(to), from, count, step, cast, lost, stream);
    float block[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = least(kBlock, count - i);
        load_row(block, {place_of(from, i * step), from.dtype}, n, step, cast, lost, false);
        store_row({static_cast<char*>(to.data) + i * 2, to.dtype}, block, n, Cast{}, nullptr, stream);
    }
}

void forward(const IndexSelectCatForward& c, Queue queue) {
    const int64_t size = size_in_bytes(c.y.dtype), tiles = ceil_div(c.elements, kTile);
    const bool stream = c.elements * size >= kStreamBytes;
    const TileCounters lost(tiles, c.lost, queue);
    parallel_for(tiles, [&](int64_t tile) {
        const int64_t end = least(c.elements, (tile + 1) * kTile);
        const SelectPart* part = c.parts;
        for (int64_t i = tile * kTile; i < end;) {
            while (i >= part->begin + part->count * part->columns) ++part;
            const int64_t row = (i - part->begin) / part->columns, column = (i - part->begin) % part->columns;
            const int64_t n = least(part->columns - column, end - i);
            const int64_t from = part->list[row] * part->row_step + column * part->step;
            move({static_cast<char*>(c.y.data) + i * size, c.y.dtype},
                 {place_of(part->source, from), part->source.dtype}, n, part->step, part->cast, lost.of(tile),
                 stream);
            i += n;
        }
    });
    lost.add_to(c.lost);
}

// What the sums are added in: f32, or f64 where all is f64.
DEMI_INLINE void load(float* to, const IndexSelectCatBackward& c, int64_t at, int64_t n, CastCounters* lost) {
    load_row(to, {place_of(c.dy, at), c.dy.dtype}, n, c.step, c.entry, lost, false);
}
DEMI_INLINE void load(double* to, const IndexSelectCatBackward& c, int64_t at, int64_t n, CastCounters*) {
    copy_elements(to, place_of(c.dy, at), n, c.step, 8);
}
DEMI_INLINE void write(Mem to, const float* from, int64_t n, const Cast& exit, CastCounters* lost) {
    store_row(to, from, n, exit, lost, false);
}
DEMI_INLINE void write(Mem to, const double* from, int64_t n, const Cast&, CastCounters*) {
    __builtin_memcpy(to.data, from, static_cast<size_t>(n) * sizeof(double));
}

template <class C> struct GradientRows {
    const IndexSelectCatBackward& c;
    const SelectGradient& g;
    const RowUses& uses;
    bool stream;
    CastCounters *entered, *left;  // of the tile

    void operator()(int64_t row, int64_t column, int64_t count) const {
        const Mem to = target(row, column);
        const int64_t named = uses.end(row) - uses.begin(row);
        if (named == 0) {
            __builtin_memset(to.data, 0, static_cast<size_t>(count * size_in_bytes(to.dtype)));
        } else if (named == 1) {
            Cast cast = c.entry;
            cast.undo = c.exit.undo;
            move(to, {place_of(c.dy, from(uses.begin(row), column)), c.dy.dtype}, count, c.step, cast,
                 entered, stream);
        } else {
            sum(row, column, count);
        }
    }

    Mem target(int64_t row, int64_t column) const {
        return {static_cast<char*>(g.grad.data) + (row * g.columns + column) * size_in_bytes(g.grad.dtype),
                g.grad.dtype};
    }
    int64_t from(int64_t use, int64_t column) const {
        return (g.begin + uses.place(use) * g.columns + column) * c.step;
    }

    // Rows of dy that meet in one row, in the order of the list.
    void sum(int64_t row, int64_t column, int64_t count) const {
        C sum[kBlock], more[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = least(kBlock, count - i);
            load(sum, c, from(uses.begin(row), column + i), n, entered);
            for (int64_t u = uses.begin(row) + 1; u < uses.end(row); ++u) {
                load(more, c, from(u, column + i), n, entered);
                for (int64_t j = 0; j < n; ++j) sum[j] += more[j];
            }
            write(target(row, column + i), sum, n, c.exit, left);
        }
    }
};

template <class C> void backward_in(const IndexSelectCatBackward& c, const SelectGradient& g, Queue queue) {
    const RowUses uses(g.list, g.count, g.rows, queue);
    const int64_t chunks = ceil_div(g.columns, kTile), bundle = g.columns < kTile ? kTile / g.columns : 1;
    const int64_t tiles = ceil_div(g.rows, bundle) * chunks;
    const bool stream = g.rows * g.columns * size_in_bytes(g.grad.dtype) >= kStreamBytes;
    const TileCounters entered(tiles, c.entered, queue), left(tiles, c.left, queue);
    parallel_for(tiles, [&](int64_t tile) {
        const GradientRows<C> rows{c, g, uses, stream, entered.of(tile), left.of(tile)};
        const int64_t column = tile % chunks * kTile, first = tile / chunks * bundle;
        for (int64_t row = first; row < least(g.rows, first + bundle); ++row)
            rows(row, column, least(kTile, g.columns - column));
    });
    entered.add_to(c.entered);
    left.add_to(c.left);
}

void backward(const IndexSelectCatBackward& c, Queue queue) {
    for (int64_t i = 0; i < c.grad_count; ++i)
        c.dy.dtype == DType::f64 ? backward_in<double>(c, c.grads[i], queue)
                                 : backward_in<float>(c, c.grads[i], queue);
}

}  // namespace

const IndexSelectCatKernels index_select_cat_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
