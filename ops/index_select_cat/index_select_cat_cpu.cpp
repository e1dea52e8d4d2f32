#include "ops/index_select_cat/index_select_cat_kernels.h"

#include "ops/boundary/boundary_cpu.h"
#include "ops/index/row_uses_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kTile = 65536;  // elements
constexpr int64_t kBlock = 1024;  // elements on the way through the first-level cache

// Elements `step` apart, one after the other.
template <class T> DEMI_INLINE void gather_elements(void* to, const void* from, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; ++i) static_cast<T*>(to)[i] = static_cast<const T*>(from)[i * step];
}
void copy_elements(void* to, const void* from, int64_t count, int64_t step, int64_t size) {
    if (step == 1)
        __builtin_memcpy(to, from, static_cast<size_t>(count * size));
    else if (size == 2)
        gather_elements<uint16_t>(to, from, count, step);
    else if (size == 4)
        gather_elements<uint32_t>(to, from, count, step);
    else
        gather_elements<uint64_t>(to, from, count, step);
}

// y (contiguous) = cast(x).
void move(Mem y, ConstMem x, int64_t count, int64_t step, const Cast& cast, CastCounters* lost, bool stream) {
    const bool same = x.dtype == y.dtype && !cast.round && cast.scale == 1 && cast.undo == 1;
    if (same && !(y.dtype == DType::f32 && stream && step == 1))
        return copy_elements(y.data, x.data, count, step, size_in_bytes(y.dtype));
    cross_row(y, x, count, step, cast, lost, stream);
}

void forward(const IndexSelectCatForward& c, Queue queue) {
    const int64_t tiles = ceil_div(c.elements, kTile);
    const bool stream = c.elements * size_in_bytes(c.y.dtype) >= kStreamBytes;
    const TileCounters lost(tiles, c.lost, queue);
    parallel_for(tiles, [&](int64_t tile) {
        const int64_t end = least(c.elements, (tile + 1) * kTile);
        const SelectPart* part = c.parts;
        for (int64_t i = tile * kTile; i < end;) {
            while (i >= part->begin + part->count * part->columns) ++part;
            const int64_t row = (i - part->begin) / part->columns, column = (i - part->begin) % part->columns;
            const int64_t n = least(part->columns - column, end - i);
            const int64_t place = part->list[row] * part->row_step + column * part->step;
            move(from(c.y, i), from(part->source, place), n, part->step, part->cast, lost.of(tile), stream);
            i += n;
        }
    });
}

// C: what the sums are added in, f32, or f64 where all is f64.
template <class C> struct GradientRows {
    const IndexSelectCatBackward& c;
    const SelectGradient& g;
    const RowUses& uses;
    bool stream;
    CastCounters *entered, *left;  // of the tile

    void operator()(int64_t row, int64_t column, int64_t count) const {
        const Mem to = from(g.grad, row * g.columns + column);
        const int64_t named = uses.end(row) - uses.begin(row);
        if (named == 0) {
            __builtin_memset(to.data, 0, static_cast<size_t>(count * size_in_bytes(to.dtype)));
        } else if (named == 1) {
            Cast cast = c.entry;
            cast.undo = c.exit.undo;
            move(to, from(c.dy, place(uses.begin(row), column)), count, c.step, cast, entered, stream);
        } else {
            sum(to, row, column, count);
        }
    }

    // In dy.
    int64_t place(int64_t use, int64_t column) const {
        return (g.begin + uses.place(use) * g.columns + column) * c.step;
    }

    // Rows of dy that meet in one row, in the order of the list.
    void sum(Mem to, int64_t row, int64_t column, int64_t count) const {
        C sum[kBlock], more[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = least(kBlock, count - i);
            load_row(sum, from(c.dy, place(uses.begin(row), column + i)), n, c.step, c.entry, entered, false);
            for (int64_t u = uses.begin(row) + 1; u < uses.end(row); ++u) {
                load_row(more, from(c.dy, place(u, column + i)), n, c.step, c.entry, entered, false);
                for (int64_t j = 0; j < n; ++j) sum[j] += more[j];
            }
            store_row(from(to, i), sum, n, c.exit, left, false);
        }
    }
};

template <class C> void backward_in(const IndexSelectCatBackward& c, const SelectGradient& g, Queue queue) {
    const RowUses uses(g.list, g.count, g.rows, queue);
    const RowPieces tiles(g.rows, g.columns, kTile);
    const bool stream = g.rows * g.columns * size_in_bytes(g.grad.dtype) >= kStreamBytes;
    const TileCounters entered(tiles.count, c.entered, queue), left(tiles.count, c.left, queue);
    tiles.for_each([&](int64_t tile, int64_t row, int64_t end, int64_t begin, int64_t n) {
        const GradientRows<C> rows{c, g, uses, stream, entered.of(tile), left.of(tile)};
        for (; row < end; ++row) rows(row, begin, n);
    });
}

void backward(const IndexSelectCatBackward& c, Queue queue) {
    for (int64_t i = 0; i < c.grad_count; ++i)
        c.dy.dtype == DType::f64 ? backward_in<double>(c, c.grads[i], queue)
                                 : backward_in<float>(c, c.grads[i], queue);
}

}  // namespace

const IndexSelectCatKernels index_select_cat_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
