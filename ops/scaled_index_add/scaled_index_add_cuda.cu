#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

// One element in C: f32 or, where all is f64, f64. Of a row and m, column d.
template <class C> DEMI_DEVICE C load(const AddOperand& x, int64_t row, int64_t m, int64_t d) {
    return load_as<C>(x.x.data, row * x.row_step + m * x.m_step + d * x.step, x.x.dtype);
}

// What one row of a tile is about.
struct RowPlace {
    int64_t b, m, first_use, uses;
};

template <class C> struct AddKernel {
    static constexpr int threads = kThreads;
    ScaledIndexAddForward c;
    RowTiles tiles;  // of out
    SortedRows uses;

    DEMI_DEVICE void operator()() const {
        RowPlace* places = gpu::shared<RowPlace>();
        LaneCount input, source, scaling, result;
        for (int64_t i = gpu::block_idx().x; i < tiles.tiles; i += gpu::grid_dim().x) {
            const RowTile tile = tile_at(tiles, i);
            const auto find_place = [&](int r) {
                const int64_t b = (tile.row + r) / c.M, first = uses.find(b);
                places[r] = {b, (tile.row + r) % c.M, first, uses.find(b + 1) - first};
            };
            for_tile(tile, find_place, [&](int r, int column) {
                const int64_t d = tile.column + column, out = (tile.row + r) * tiles.columns + d;
                add(places[r], d, out, tile.row + r == 0, input, source, scaling, result);
            });
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + kMostTileRows * sizeof(RowPlace) / sizeof(uint32_t);
        if (c.input.lost != nullptr) add_counts(input, scratch, c.input.lost);
        if (c.source.lost != nullptr) add_counts(source, scratch, c.source.lost);
        if (c.scaling.lost != nullptr) add_counts(scaling, scratch, c.scaling.lost);
        if (c.out.lost != nullptr) add_counts(result, scratch, c.out.lost);
    }

    DEMI_DEVICE void add(const RowPlace& place, int64_t d, int64_t out, bool first_row, LaneCount& input,
                         LaneCount& source, LaneCount& scaling, LaneCount& result) const {
        C factor = static_cast<C>(c.alpha);
        if (c.scaling.x.data != nullptr && (place.uses > 0 || first_row)) {
            Cast cast = c.scaling.cast;
            cast.count = cast.count && first_row;  // scaling is counted once
            factor = factor * cross(load<C>(c.scaling, 0, 0, d), cast, scaling);
        }
        if (place.uses == 0 && c.in_place && !c.input.cast.round) return;
        C x = cross(load<C>(c.input, place.b, place.m, d), c.input.cast, input);
        for (int64_t use = 0; use < place.uses; ++use) {
            const C s = load<C>(c.source, uses.places[place.first_use + use], place.m, d);
            x = multiply_add(factor, cross(s, c.source.cast, source), x);
        }
        if (place.uses > 0) x = cross(x, c.out.cast, result);
        store_one(c.out.y.data, out, c.out.y.dtype, x);
    }
};

// Both gradients in one pass over dy. A thread owns a column of one part of the rows and goes through the rows in order,
// several on their way at once. gridDim.y counts the parts.
template <class C> struct AddBackwardKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 8;
    ScaledIndexAddBackward c;
    RowParts cut;
    C* partial;  // [parts, D]; null: no sums

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int64_t d = gpu::global_index();
        for (int64_t part = gpu::block_idx().y; part < cut.parts; part += gpu::grid_dim().y)
            if (d < c.D) run(part, d, entered, left);
        if (c.dy.lost != nullptr) add_counts(entered, gpu::shared<uint32_t>(), c.dy.lost);
        if (c.grad_source.lost != nullptr) add_counts(left, gpu::shared<uint32_t>(), c.grad_source.lost);
    }

    DEMI_DEVICE void run(int64_t part, int64_t d, LaneCount& entered, LaneCount& left) const {
        LaneCount none;
        C factor = 1, sum = 0;
        if (c.scaling.x.data != nullptr) factor = cross(load<C>(c.scaling, 0, 0, d), c.scaling.cast, none);
        const int64_t begin = part * cut.rows, end = cut.end(part);
        int64_t b = begin / c.M, m = begin % c.M;
        for (int64_t row = begin; row < end; row += kAhead) {
            C dy[kAhead], source[kAhead];
            const int n = end - row < kAhead ? static_cast<int>(end - row) : kAhead;
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                dy[i] = load<C>(c.dy, c.index[b], m, d);
                if (partial != nullptr) source[i] = load<C>(c.source, b, m, d);
                if (++m == c.M) {
                    m = 0;
                    ++b;
                }
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                const C g = static_cast<C>(c.alpha) * cross(dy[i], c.dy.cast, entered);
                if (c.grad_source.y.data != nullptr) {
                    const C grad = c.scaling.x.data != nullptr ? g * factor : g;
                    store_one(c.grad_source.y.data, (row + i) * c.D + d, c.grad_source.y.dtype,
                              cross(grad, c.grad_source.cast, left));
                }
                if (partial != nullptr) sum = multiply_add(g, cross(source[i], c.source.cast, none), sum);
            }
        }
        if (partial != nullptr) partial[part * c.D + d] = sum;
    }
};

template <class C> struct AddPartialsKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 16;  // loads on their way
    const C* partial;
    C* sums;
    int64_t parts, columns;

    DEMI_DEVICE void operator()() const {
        for (int64_t d = gpu::global_index(); d < columns; d += gpu::global_size()) {
            C sum = 0;
            for (int64_t first = 0; first < parts; first += kAhead) {
                C x[kAhead];
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    x[i] = first + i < parts ? partial[(first + i) * columns + d] : 0;
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    if (first + i < parts) sum = multiply_add(C(1), x[i], sum);
            }
            sums[d] = sum;
        }
    }
};

template <class C> void launch_forward(const ScaledIndexAddForward& c, const SortedRows& uses, Queue queue) {
    const RowTiles tiles = make_row_tiles(c.B * c.M, c.D);
    gpu::launch(AddKernel<C>{c, tiles, uses}, gpu::blocks_for(tiles.tiles, 1, kMostBlocks), {kThreads},
                kMostTileRows * sizeof(RowPlace) + kCountScratch, queue.stream);
}

void forward(const ScaledIndexAddForward& c, Queue queue) {
    const bool aligned = fits_aligned(c);
    if (aligned && c.uses <= kShortList) return add_aligned(c, {}, queue);
    const Scratch memory(static_cast<size_t>(sorted_rows_words(c.uses, c.B)) * sizeof(int64_t), queue);
    const SortedRows uses = sort_rows(c.index, c.uses, c.B, memory.as<int64_t>(), queue);
    if (aligned)
        add_aligned(c, uses, queue);
    else if (c.out.y.dtype == DType::f64)
        launch_forward<double>(c, uses, queue);
    else
        launch_forward<float>(c, uses, queue);
}

template <class C> void launch_backward(const ScaledIndexAddBackward& c, Queue queue) {
    constexpr int kBlock = 64;  // few parts: small blocks keep all processors busy
    const RowParts cut = parts_of(c);
    const bool sums = c.sums.data != nullptr;
    const Scratch memory(sums ? static_cast<size_t>(cut.parts * c.D) * sizeof(C) : 0, queue);
    C* partial = sums ? memory.as<C>() : nullptr;
    const gpu::Dim3 columns = gpu::blocks_for(c.D, kBlock, 1 << 30);
    if (fits_aligned(c))
        add_backward_aligned(c, cut, reinterpret_cast<float*>(partial), queue);
    else
        gpu::launch(AddBackwardKernel<C>{c, cut, partial}, {columns.x, cut.blocks()}, {kBlock}, kCountScratch,
                    queue.stream);
    if (sums)
        gpu::launch(AddPartialsKernel<C>{partial, static_cast<C*>(c.sums.data), cut.parts, c.D},
                    gpu::blocks_for(c.D, kBlock), {kBlock}, 0, queue.stream);
}

void backward(const ScaledIndexAddBackward& c, Queue queue) {
    if (c.dy.x.dtype == DType::f64)
        launch_backward<double>(c, queue);
    else
        launch_backward<float>(c, queue);
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
