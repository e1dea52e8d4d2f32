#include "ops/scaled_index_add/scaled_index_add_kernels.h"

#include "ops/index/row_uses_cpu.h"
#include "ops/scaled_index_add/scaled_index_add_direct_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kTile = 32768;  // elements
constexpr int64_t kBlock = 1024;  // elements on the way through the first-level cache

DEMI_INLINE ConstMem at(const AddOperand& x, int64_t row, int64_t m, int64_t d) {
    return from(x.x, row * x.row_step + m * x.m_step + d * x.step);
}

// Elements of a row as they cross, in C: f32, or f64 where all is f64.
template <class C>
DEMI_INLINE void load(C* to, const AddOperand& x, int64_t row, int64_t m, int64_t d, int64_t n,
                      CastCounters* lost) {
    load_row(to, at(x, row, m, d), n, x.step, x.cast, lost, false);
}

// x += factor * source; x = factor * x; y = a * b.
template <class C> void add(C* x, const C* factor, const C* source, int64_t count) {
    for_lanes<C>(count, [&] DEMI_LANES {
        put(x + i, multiply_add(get(factor + i, n), get(source + i, n), get(x + i, n)), n);
    });
}
template <class C> void scale(C* x, C factor, int64_t count) {
    for_lanes<C>(count, [&] DEMI_LANES { put(x + i, splat<C>(factor) * get(x + i, n), n); });
}
template <class C> void multiply(C* y, const C* a, const C* b, int64_t count) {
    for_lanes<C>(count, [&] DEMI_LANES { put(y + i, get(a + i, n) * get(b + i, n), n); });
}

// Rows [m, m + rows) of out[row], columns [d, d + count).
template <class C> struct ForwardRows {
    const ScaledIndexAddForward& c;
    const RowUses& uses;
    const C* factor;
    bool stream, direct;
    CastCounters *input_lost, *source_lost, *out_lost;  // of the tile

    void operator()(int64_t row, int64_t m, int64_t rows, int64_t d, int64_t count) const {
        const int64_t named = uses.end(row) - uses.begin(row);
        if (named == 0 && c.in_place && !c.input.cast.round) return;
        if (named == 1 && direct) {
            const int64_t use = uses.place(uses.begin(row));
            return add_directly({at(c.input, row, m, d).data, at(c.source, use, m, d).data,
                                 target(row, m, d).data, reinterpret_cast<const float*>(factor + d), rows,
                                 count, c.input.m_step, c.source.m_step, c.D, c.source.cast.round,
                                 c.out.cast.round, stream, input_lost, source_lost, out_lost},
                                c.out.y.dtype);
        }
        // rows one behind the other are one long row
        const bool joined = named == 0 && count == c.D && c.input.m_step == c.D * c.input.step;
        const int64_t pieces = joined ? 1 : rows, length = joined ? rows * c.D : count;
        for (int64_t i = m; i < m + pieces; ++i)
            if (named == 0)
                copy(row, i, d, length);
            else
                add_to(row, i, d, count);
    }

    Mem target(int64_t row, int64_t m, int64_t d) const { return from(c.out.y, (row * c.M + m) * c.D + d); }

    // A row that nothing is added to: cast as it enters, and as it is stored.
    void copy(int64_t row, int64_t m, int64_t d, int64_t count) const {
        const Mem to = target(row, m, d);
        const ConstMem x = at(c.input, row, m, d);
        if (!stream && !c.input.cast.round && to.dtype == x.dtype && c.input.step == 1) {
            __builtin_memcpy(to.data, x.data, static_cast<size_t>(count * size_in_bytes(to.dtype)));
            return;
        }
        if (!c.in_place && to.dtype == DType::f32)
            return cross_row(to, x, count, c.input.step, c.input.cast, input_lost, stream);
        C block[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = least(kBlock, count - i);
            load(block, c.input, row, m, d + i, n, input_lost);
            store_row(from(to, i), block, n, Cast{}, nullptr, stream);
        }
    }

    void add_to(int64_t row, int64_t m, int64_t d, int64_t count) const {
        C x[kBlock], s[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = least(kBlock, count - i);
            load(x, c.input, row, m, d + i, n, input_lost);
            for (int64_t use = uses.begin(row); use < uses.end(row); ++use) {
                load(s, c.source, uses.place(use), m, d + i, n, source_lost);
                add(x, factor + d + i, s, n);
            }
            store_row(target(row, m, d + i), x, n, c.out.cast, out_lost, stream);
        }
    }
};

// alpha times scaling as it crosses, or alpha.
template <class C> void find_factor(C* factor, const AddOperand& scaling, C alpha, int64_t count) {
    for (int64_t d = 0; d < count; ++d) factor[d] = alpha;
    if (scaling.x.data == nullptr) return;
    load(factor, scaling, 0, 0, 0, count, scaling.lost);
    scale(factor, alpha, count);
}

template <class C> void forward_in(const ScaledIndexAddForward& c, Queue queue) {
    const RowUses uses(c.index, c.uses, c.B, queue);
    const LocalScratch<C, 1024> factor(c.D, queue);
    find_factor(factor.data(), c.scaling, static_cast<C>(c.alpha), c.D);

    const DType to = c.out.y.dtype;
    const bool stream =
        !c.in_place && to != DType::f64 && c.B * c.M * c.D * size_in_bytes(to) >= kStreamBytes;
    const bool direct = sizeof(C) == 4 && !c.in_place && c.input.x.dtype == c.source.x.dtype &&
                        c.input.x.dtype == to && c.input.step == 1 && c.source.step == 1 &&
                        !c.source.cast.saturate && !c.out.cast.saturate &&
                        (c.input.cast.round == c.out.cast.round || to == DType::f16);
    const RowPieces tiles(c.B * c.M, c.D, kTile);
    const TileCounters input_lost(tiles.count, c.input.lost, queue),
        source_lost(tiles.count, c.source.lost, queue), out_lost(tiles.count, c.out.lost, queue);
    tiles.for_each([&](int64_t tile, int64_t r, int64_t end, int64_t d, int64_t count) {
        const ForwardRows<C> part{c,
                                  uses,
                                  factor.data(),
                                  stream,
                                  direct,
                                  input_lost.of(tile),
                                  source_lost.of(tile),
                                  out_lost.of(tile)};
        while (r < end) {
            const int64_t here = least(c.M - r % c.M, end - r);
            part(r / c.M, r % c.M, here, d, count);
            r += here;
        }
    });
}

// Both gradients in one pass over dy. Rows (b, m) are cut into parts, each with a partial sum for the gradient of scaling;
// the partial sums are added in their order.
template <class C> void backward_in(const ScaledIndexAddBackward& c, Queue queue) {
    const int64_t rows = c.uses * c.M, bundle = rows_of_part(c);
    const int64_t parts = ceil_div(rows, bundle), chunks = ceil_div(c.D, kBlock);
    const bool scaled = c.scaling.x.data != nullptr, sums = c.sums.data != nullptr;
    const bool grad = c.grad_source.y.data != nullptr;
    const LocalScratch<C, 1024> factor_memory(scaled ? c.D : 0, queue);
    C* factor = factor_memory.data();
    if (scaled) load(factor, c.scaling, 0, 0, 0, c.D, nullptr);
    const Scratch partial_memory(sums ? static_cast<size_t>(parts * c.D) * sizeof(C) : 0, queue);
    C* partial = sums ? partial_memory.as<C>() : nullptr;
    for (int64_t i = 0; sums && i < parts * c.D; ++i) partial[i] = 0;
    const bool stream = grad && rows * c.D * size_in_bytes(c.grad_source.y.dtype) >= kStreamBytes;
    const TileCounters dy_lost(parts * chunks, c.dy.lost, queue),
        grad_lost(parts * chunks, c.grad_source.lost, queue);
    parallel_for(parts * chunks, [&](int64_t tile) {
        const int64_t d = tile % chunks * kBlock, n = least(kBlock, c.D - d), first = tile / chunks * bundle;
        C g[kBlock], other[kBlock];
        for (int64_t r = first; r < least(rows, first + bundle); ++r) {
            const int64_t b = r / c.M, m = r % c.M;
            load(g, c.dy, c.index[b], m, d, n, dy_lost.of(tile));
            scale(g, static_cast<C>(c.alpha), n);
            if (grad) {
                if (scaled) multiply(other, g, factor + d, n);
                store_row(from(c.grad_source.y, r * c.D + d), scaled ? other : g, n, c.grad_source.cast,
                          grad_lost.of(tile), stream);
            }
            if (sums) {
                load(other, c.source, b, m, d, n, nullptr);
                add(partial + tile / chunks * c.D + d, g, other, n);
            }
        }
    });
    if (!sums) return;
    C* total = elements<C>(c.sums);
    for (int64_t d = 0; d < c.D; ++d) total[d] = 0;
    for (int64_t part = 0; part < parts; ++part)
        for_lanes<C>(c.D, [&] DEMI_LANES {
            put(total + i, multiply_add(splat<C>(1), get(partial + part * c.D + i, n), get(total + i, n)), n);
        });
}

void forward(const ScaledIndexAddForward& c, Queue queue) {
    c.input.x.dtype == DType::f64 ? forward_in<double>(c, queue) : forward_in<float>(c, queue);
}
void backward(const ScaledIndexAddBackward& c, Queue queue) {
    c.dy.x.dtype == DType::f64 ? backward_in<double>(c, queue) : backward_in<float>(c, queue);
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
