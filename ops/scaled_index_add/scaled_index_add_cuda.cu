#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

// N elements `step` apart in f32 or, where all is f64, in f64; eight together have step 1.
template <int N> DEMI_DEVICE void load_all(float (&x)[N], const void* base, int64_t at, DType s) {
    if constexpr (N == 8)
        load_eight(x, base, at, s);
    else
        x[0] = load_one(base, at, s);
}
DEMI_DEVICE void load_all(double (&x)[1], const void* base, int64_t at, DType) {
    x[0] = static_cast<const double*>(base)[at];
}
template <int N> DEMI_DEVICE void store_all(void* base, int64_t at, DType s, const float (&x)[N]) {
    if constexpr (N == 8)
        store_eight(base, at, s, x);
    else
        store_one(base, at, s, x[0]);
}
DEMI_DEVICE void store_all(void* base, int64_t at, DType, const double (&x)[1]) {
    static_cast<double*>(base)[at] = x[0];
}
template <int N> DEMI_DEVICE void cross_all(float (&x)[N], const Cast& cast, LaneCount& lost) {
    DEMI_UNROLL
    for (int j = 0; j < N; ++j) x[j] = cross(x[j], cast, lost);
}
DEMI_DEVICE void cross_all(double (&)[1], const Cast&, LaneCount&) {}

// scaling as it crosses.
template <class C, int N>
DEMI_DEVICE void load_scaling(C (&x)[N], const AddOperand& scaling, const Cast& cast, int64_t d,
                              LaneCount& lost) {
    DEMI_UNROLL
    for (int j = 0; j < N; ++j) {
        C one[1];
        load_all(one, scaling.x.data, (d + j) * scaling.step, scaling.x.dtype);
        cross_all(one, cast, lost);
        x[j] = one[0];
    }
}

// What one row of a tile is about.
struct RowPlace {
    int64_t input;  // its first element
    int64_t m;
    int64_t first_use, uses;
};

// In C; N columns at a time.
template <class C, int N> struct AddKernel {
    static constexpr int threads = kThreads;
    ScaledIndexAddForward c;
    RowTiles tiles;  // of out
    SortedRows uses;

    DEMI_DEVICE void operator()() const {
        RowPlace* places = gpu::shared<RowPlace>();
        LaneCount input, source, scaling, result;
        for (int64_t i = gpu::block_idx().x; i < tiles.tiles; i += gpu::grid_dim().x) {
            const RowTile tile = tile_at(tiles, i);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) {
                const int64_t b = (tile.row + t) / c.M, m = (tile.row + t) % c.M;
                const int64_t first = uses.find(b);
                places[t] = {b * c.input.row_step + m * c.input.m_step, m, first, uses.find(b + 1) - first};
            }
            gpu::sync_threads();
            const int width = tile.columns / N;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width;
                const int64_t d = tile.column + (u - r * width) * N;
                const int64_t out = (tile.row + r) * tiles.columns + d;
                add(places[r], d, out, tile.row + r == 0, input, source, scaling, result);
            }
        }
        uint32_t* scratch = gpu::shared<uint32_t>() + kMostTileRows * sizeof(RowPlace) / sizeof(uint32_t);
        if (c.input.lost != nullptr) add_counts(input, scratch, c.input.lost);
        if (c.source.lost != nullptr) add_counts(source, scratch, c.source.lost);
        if (c.scaling.lost != nullptr) add_counts(scaling, scratch, c.scaling.lost);
        if (c.out.lost != nullptr) add_counts(result, scratch, c.out.lost);
    }

    DEMI_DEVICE void add(const RowPlace& place, int64_t d, int64_t out, bool first_row, LaneCount& input,
                         LaneCount& source, LaneCount& scaling, LaneCount& result) const {
        const C alpha = static_cast<C>(c.alpha);
        C factor[N];
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) factor[j] = alpha;
        if (c.scaling.x.data != nullptr && (place.uses > 0 || first_row)) {
            Cast cast = c.scaling.cast;
            cast.count = cast.count && first_row;  // scaling is counted once
            load_scaling(factor, c.scaling, cast, d, scaling);
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) factor[j] = alpha * factor[j];
        }
        if (place.uses == 0 && c.in_place && !c.input.cast.round) return;
        C x[N], s[N];
        load_all(x, c.input.x.data, place.input + d * c.input.step, c.input.x.dtype);
        cross_all(x, c.input.cast, input);
        for (int64_t use = 0; use < place.uses; ++use) {
            const int64_t at = uses.places[place.first_use + use] * c.source.row_step +
                               place.m * c.source.m_step + d * c.source.step;
            load_all(s, c.source.x.data, at, c.source.x.dtype);
            cross_all(s, c.source.cast, source);
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) x[j] = multiply_add(factor[j], s[j], x[j]);
        }
        if (place.uses > 0) cross_all(x, c.out.cast, result);
        store_all(c.out.y.data, out, c.out.y.dtype, x);
    }
};

// Both gradients in one pass over dy. A thread owns N columns of one part of the rows and goes through the rows in order,
// several on their way at once. gridDim.y counts the parts.
template <class C, int N> struct AddBackwardKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 8;
    ScaledIndexAddBackward c;
    int64_t rows_per_part, parts;
    C* partial;  // [parts, D]; null: no sums

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int64_t d = gpu::global_index() * N;
        for (int64_t part = gpu::block_idx().y; part < parts; part += gpu::grid_dim().y)
            if (d < c.D) run(part, d, entered, left);
        if (c.dy.lost != nullptr) add_counts(entered, gpu::shared<uint32_t>(), c.dy.lost);
        if (c.grad_source.lost != nullptr) add_counts(left, gpu::shared<uint32_t>(), c.grad_source.lost);
    }

    DEMI_DEVICE void run(int64_t part, int64_t d, LaneCount& entered, LaneCount& left) const {
        C factor[N], sum[N];
        LaneCount none;
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) {
            sum[j] = 0;
            factor[j] = 1;
        }
        if (c.scaling.x.data != nullptr) load_scaling(factor, c.scaling, c.scaling.cast, d, none);
        const int64_t begin = part * rows_per_part, rows = c.uses * c.M;
        const int64_t end = begin + rows_per_part < rows ? begin + rows_per_part : rows;
        int64_t b = begin / c.M, m = begin % c.M;
        for (int64_t row = begin; row < end; row += kAhead) {
            Loaded dy[kAhead], source[kAhead];
            const int n = end - row < kAhead ? static_cast<int>(end - row) : kAhead;
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                dy[i] = fetch(c.dy, c.index[b], m, d);
                if (partial != nullptr) source[i] = fetch(c.source, b, m, d);
                if (++m == c.M) {
                    m = 0;
                    ++b;
                }
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                C g[N], other[N];
                open(g, dy[i], c.dy.x.dtype);
                cross_all(g, c.dy.cast, entered);
                DEMI_UNROLL
                for (int j = 0; j < N; ++j) g[j] = static_cast<C>(c.alpha) * g[j];
                if (c.grad_source.y.data != nullptr) {
                    DEMI_UNROLL
                    for (int j = 0; j < N; ++j)
                        other[j] = c.scaling.x.data != nullptr ? g[j] * factor[j] : g[j];
                    cross_all(other, c.grad_source.cast, left);
                    store_all(c.grad_source.y.data, (row + i) * c.D + d, c.grad_source.y.dtype, other);
                }
                if (partial == nullptr) continue;
                open(other, source[i], c.source.x.dtype);
                cross_all(other, c.source.cast, none);
                DEMI_UNROLL
                for (int j = 0; j < N; ++j) sum[j] = multiply_add(g[j], other[j], sum[j]);
            }
        }
        if (partial == nullptr) return;
        store_all(partial, part * c.D + d, DType::f32, sum);
    }

    // As it lies in memory, eight together: loads are on their way while others are unpacked.
    struct Loaded {
        Raw8 eight;
        C one[1];
    };
    DEMI_DEVICE Loaded fetch(const AddOperand& x, int64_t row, int64_t m, int64_t d) const {
        const int64_t at = row * x.row_step + m * x.m_step + d * x.step;
        Loaded raw;
        if constexpr (N == 8)
            raw.eight = load_raw(x.x.data, at, x.x.dtype);
        else
            load_all(raw.one, x.x.data, at, x.x.dtype);
        return raw;
    }
    DEMI_DEVICE void open(C (&x)[N], const Loaded& raw, DType s) const {
        if constexpr (N == 8)
            unpack(x, raw.eight, s);
        else
            x[0] = raw.one[0];
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

template <class C, int N>
void launch_forward(const ScaledIndexAddForward& c, const SortedRows& uses, Queue queue) {
    const RowTiles tiles = make_row_tiles(c.B * c.M, c.D);
    gpu::launch(AddKernel<C, N>{c, tiles, uses}, gpu::blocks_for(tiles.tiles, 1, kMostBlocks), {kThreads},
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
        launch_forward<double, 1>(c, uses, queue);
    else if (in_eights(c.input, c.D) && in_eights(c.source, c.D) && in_eights(c.out, c.D))
        launch_forward<float, 8>(c, uses, queue);
    else
        launch_forward<float, 1>(c, uses, queue);
}

template <class C, int N> void launch_backward(const ScaledIndexAddBackward& c, Queue queue) {
    constexpr int kBlock = 64;  // few parts: small blocks keep all processors busy
    const int64_t rows_per_part = rows_of_part(c), parts = (c.uses * c.M + rows_per_part - 1) / rows_per_part;
    const bool sums = c.sums.data != nullptr;
    const Scratch memory(sums ? static_cast<size_t>(parts * c.D) * sizeof(C) : 0, queue);
    C* partial = sums ? memory.as<C>() : nullptr;
    const gpu::Dim3 grid{gpu::blocks_for((c.D + N - 1) / N, kBlock, 1 << 30).x,
                         static_cast<unsigned>(parts < 65535 ? parts : 65535)};
    bool done = false;
    if constexpr (N == 8) {
        done = fits_aligned(c);
        if (done) add_backward_aligned(c, partial, queue);
    }
    if (!done)
        gpu::launch(AddBackwardKernel<C, N>{c, rows_per_part, parts, partial}, grid, {kBlock}, kCountScratch,
                    queue.stream);
    if (sums)
        gpu::launch(AddPartialsKernel<C>{partial, static_cast<C*>(c.sums.data), parts, c.D},
                    gpu::blocks_for(c.D, kBlock), {kBlock}, 0, queue.stream);
}

void backward(const ScaledIndexAddBackward& c, Queue queue) {
    if (c.dy.x.dtype == DType::f64)
        launch_backward<double, 1>(c, queue);
    else if (in_eights(c.dy, c.D) && in_eights(c.grad_source, c.D) && in_eights(c.source, c.D))
        launch_backward<float, 8>(c, queue);
    else
        launch_backward<float, 1>(c, queue);
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
