#include "ops/index_select_cat/index_select_cat_kernels.h"

#include "ops/index/row_uses_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kTile = 65536;  // elements

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

// C: what sums are added in, f32, or f64 where all is f64.
template <class C> void backward_in(const IndexSelectCatBackward& c, const SelectGradient& g, Queue queue) {
    const RowUses uses(g.list, g.count, g.rows, queue);
    const RowPieces tiles(g.rows, g.columns, kTile);
    const bool stream = g.rows * g.columns * size_in_bytes(g.grad.dtype) >= kStreamBytes;
    const TileCounters entered(tiles.count, c.entered, queue), left(tiles.count, c.left, queue);
    tiles.for_each([&](int64_t tile, int64_t row, int64_t end, int64_t begin, int64_t n) {
        const TakenRows<C> taken{uses,         from(c.dy, g.begin * c.step),
                                 c.step,       g.columns,
                                 c.entry,      c.exit,
                                 stream,       entered.of(tile),
                                 left.of(tile)};
        for (; row < end; ++row) taken.gradient(from(g.grad, row * g.columns + begin), row, begin, n);
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
