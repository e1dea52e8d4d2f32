#include "ops/scaled_index_add/scaled_index_add_kernels.h"

#include "ops/index/row_uses_cpu.h"

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

// a * b + c, rounded twice. Which of two NaN an addition hands on is up to the compiler: there is only one here.
DEMI_INLINE vf multiply_add(vf a, vf b, vf c) {
    const vf y = a * b + c;
    return select(equal(y, y), y, broadcast(__builtin_nanf("")));
}
DEMI_INLINE double multiply_add(double a, double b, double c) { return a * b + c; }

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

template <class T> constexpr bool kIsHalf = false;
template <> constexpr bool kIsHalf<Half> = true;

// out = factor * source + x for a block, in registers from the loads to the store. kAll: x, source and the sum are rounded;
// kSource: the source is. What is f16 already needs no rounding; what is stored as f16 is rounded by that.
template <class T, bool kAll, bool kSource, bool kCount> struct DirectBlock {
    static constexpr bool kCountX = kCount && kAll && !kIsHalf<T>, kCountOut = kCount && kAll;
    static constexpr bool kCountSource = kCount && kSource && !kIsHalf<T>;
    Range x_range, source_range, out_range;

    template <bool kRound> static DEMI_INLINE vf enter(vf x) {
        return kRound && !kIsHalf<T> ? round_f16(x) : x;
    }
    static DEMI_INLINE vf sum(vf x, vf source, vf factor) {
        return multiply_add(factor, enter<kSource>(source), enter<kAll>(x));
    }
    DEMI_INLINE vf operator()(vf x, vf source, vf factor) {
        if (kCountX) x_range.add(x);
        if (kCountSource) source_range.add(source);
        const vf y = sum(x, source, factor);
        if (kCountOut) out_range.add(y);
        return enter<kAll>(y);
    }
};

// Rows [m, m + rows) of out[row], columns [d, d + count).
struct Piece {
    int64_t row, m, rows, d, count;
};
template <class C> struct ForwardRows {
    const ScaledIndexAddForward& c;
    const RowUses& uses;
    const C* factor;
    bool stream, direct;
    CastCounters *input_lost, *source_lost, *out_lost;  // of the tile

    void operator()(const Piece& p) const {
        const int64_t named = uses.end(p.row) - uses.begin(p.row);
        if (named == 0 && c.in_place && !c.input.cast.round) return;
        if constexpr (sizeof(C) == 4)
            if (named == 1 && direct)
                return dispatch_float(c.out.y.dtype, [&]<class T>() {
                    if constexpr (sizeof(T) <= 4) add_directly<T>(p);
                });
        // rows one behind the other are one long row
        const bool joined = named == 0 && p.count == c.D && c.input.m_step == c.D * c.input.step;
        const int64_t pieces = joined ? 1 : p.rows, length = joined ? p.rows * c.D : p.count;
        for (int64_t m = p.m; m < p.m + pieces; ++m)
            if (named == 0)
                copy(p.row, m, p.d, length);
            else
                add_to(p.row, m, p.d, length);
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

    // Of one source row, where nothing needs a detour: see forward_in().
    template <class T> void add_directly(const Piece& p) const {
        const bool counted = out_lost != nullptr || source_lost != nullptr;
        if (c.out.cast.round)
            counted ? add_blocks<T, true, true, true>(p) : add_blocks<T, true, true, false>(p);
        else if (c.source.cast.round)
            counted ? add_blocks<T, false, true, true>(p) : add_blocks<T, false, true, false>(p);
        else
            add_blocks<T, false, false, false>(p);
        if (stream) stream_fence();
    }
    template <class T, bool kAll, bool kSource, bool kCount> void add_blocks(const Piece& p) const {
        using Block = DirectBlock<T, kAll, kSource, kCount>;
        const int64_t use = uses.place(uses.begin(p.row));
        const bool past = stream;
        Watch x_watch, source_watch, out_watch;
        for (int64_t m = p.m; m < p.m + p.rows; ++m) {
            const T* x = elements<T>(at(c.input, p.row, m, p.d));
            const T* s = elements<T>(at(c.source, use, m, p.d));
            T* y = elements<T>(target(p.row, m, p.d));
            const C* f = factor + p.d;
            for (int64_t left = p.count; left > 0;) {
                const int64_t n = !kCount || left < kRangeBlock ? left : kRangeBlock;
                Block block;
                for_aligned_lanes(
                    y, n, past, [&](int64_t i, int lanes) __attribute__((always_inline)) {
                        put_past(y + i, block(get(x + i, lanes), get(s + i, lanes), get(f + i, lanes)), lanes,
                                 past);
                    });
                if (Block::kCountX)
                    x_watch.block(block.x_range, n, input_lost,
                                  [=](int64_t i, int lanes) { return load_n(x + i, lanes); });
                if (Block::kCountSource)
                    source_watch.block(block.source_range, n, source_lost,
                                       [=](int64_t i, int lanes) { return load_n(s + i, lanes); });
                if (Block::kCountOut)
                    out_watch.block(block.out_range, n, out_lost, [=](int64_t i, int lanes) {
                        return Block::sum(load_n(x + i, lanes), load_n(s + i, lanes), load_n(f + i, lanes));
                    });
                x += n, s += n, y += n, f += n, left -= n;
            }
        }
        if (Block::kCountX) x_watch.into(input_lost);
        if (Block::kCountSource) source_watch.into(source_lost);
        if (Block::kCountOut) out_watch.into(out_lost);
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
    // one dtype for all, unit steps, no saturation, out apart from input
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
            part({r / c.M, r % c.M, here, d, count});
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
