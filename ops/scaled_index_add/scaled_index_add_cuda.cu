#include "ops/scaled_index_add/scaled_index_add_cuda.h"

#include "ops/boundary/boundary_lane_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

template <int N>
DEMI_DEVICE void load_all(float (&x)[N], const void* base, int64_t at, int64_t step, Storage s) {
    if constexpr (N == 8)
        load_eight(x, base, at, s);
    else
        x[0] = load_one(base, at * step, s);
}
template <int N> DEMI_DEVICE void store_all(void* base, int64_t at, Storage s, const float (&x)[N]) {
    if constexpr (N == 8)
        store_eight(base, at, s, x);
    else
        store_one(base, at, s, x[0]);
}
template <int N> DEMI_DEVICE void cross_all(float (&x)[N], const Cast& cast, LaneCount& lost) {
    DEMI_UNROLL
    for (int j = 0; j < N; ++j) x[j] = cross(x[j], cast, lost);
}

// What one row of a tile is about.
struct RowPlace {
    int64_t input;  // its first element
    int64_t m;
    int64_t first_use, uses;
};

struct AddKernel {
    static constexpr int threads = kThreads;
    AddForward call;

    DEMI_DEVICE void operator()() const {
        RowPlace* places = gpu::shared<RowPlace>();
        LaneCount input, source, scaling, result;
        for (int64_t i = gpu::block_idx().x; i < call.tiles.tiles; i += gpu::grid_dim().x) {
            const RowTile tile = tile_at(call.tiles, i);
            const int t = static_cast<int>(gpu::thread_idx().x);
            gpu::sync_threads();
            if (t < tile.rows) {
                const int64_t b = (tile.row + t) / call.M, m = (tile.row + t) % call.M;
                const int64_t first = call.uses.find(b);
                places[t] = {b * call.input.row_step + m * call.input.m_step, m, first,
                             call.uses.find(b + 1) - first};
            }
            gpu::sync_threads();
            const int unit = call.wide ? 8 : 1, width = tile.columns / unit;
            for (int u = t; u < width * tile.rows; u += kThreads) {
                const int r = tile.rows == 1 ? 0 : u / width;
                const int64_t d = tile.column + (u - r * width) * unit;
                const int64_t out = (tile.row + r) * call.tiles.columns + d;
                if (call.f64)
                    add_f64(places[r], d, out);
                else if (call.wide)
                    add<8>(places[r], d, out, tile.row + r == 0, input, source, scaling, result);
                else
                    add<1>(places[r], d, out, tile.row + r == 0, input, source, scaling, result);
            }
        }
        if (call.sums == nullptr) return;
        uint32_t* scratch = gpu::shared<uint32_t>() + kMostTileRows * sizeof(RowPlace) / sizeof(uint32_t);
        if (call.input.cast.count) add_counts(input, scratch, call.sums);
        if (call.source.cast.count) add_counts(source, scratch, call.sums + 1);
        if (call.scaling_cast.count) add_counts(scaling, scratch, call.sums + 2);
        if (call.result_cast.count) add_counts(result, scratch, call.sums + 3);
    }

    template <int N>
    DEMI_DEVICE void add(const RowPlace& place, int64_t d, int64_t out, bool first_row, LaneCount& input,
                         LaneCount& source, LaneCount& scaling, LaneCount& result) const {
        float factor[N];
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) factor[j] = call.alpha;
        if (call.scaling != nullptr && (place.uses > 0 || first_row)) {
            Cast cast = call.scaling_cast;
            cast.count = cast.count && first_row;  // scaling is counted once
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) {
                const float x = load_one(call.scaling, (d + j) * call.scaling_step, call.scaling_storage);
                factor[j] = call.alpha * cross(x, cast, scaling);
            }
        }
        if (place.uses == 0 && call.in_place && !call.input.cast.round) return;
        float x[N], s[N];
        load_all(x, call.input.data, N == 8 ? place.input + d : place.input + d * call.input.step, 1,
                 call.input.storage);
        cross_all(x, call.input.cast, input);
        for (int64_t use = 0; use < place.uses; ++use) {
            const int64_t at = call.uses.places[place.first_use + use] * call.source.row_step +
                               place.m * call.source.m_step + d * call.source.step;
            load_all(s, call.source.data, at, 1, call.source.storage);
            cross_all(s, call.source.cast, source);
            DEMI_UNROLL
            for (int j = 0; j < N; ++j) x[j] = multiply_add(factor[j], s[j], x[j]);
        }
        if (place.uses > 0) cross_all(x, call.result_cast, result);
        store_all(call.out, out, call.to, x);
    }

    DEMI_DEVICE void add_f64(const RowPlace& place, int64_t d, int64_t out) const {
        const double alpha = static_cast<double>(call.alpha);
        const double* scaling = static_cast<const double*>(call.scaling);
        const double factor = scaling != nullptr ? alpha * scaling[d * call.scaling_step] : alpha;
        double x = static_cast<const double*>(call.input.data)[place.input + d * call.input.step];
        for (int64_t use = 0; use < place.uses; ++use) {
            const int64_t at = call.uses.places[place.first_use + use] * call.source.row_step +
                               place.m * call.source.m_step + d * call.source.step;
            x = factor * static_cast<const double*>(call.source.data)[at] + x;
        }
        static_cast<double*>(call.out)[out] = x;
    }
};

// Both gradients in one pass over dy. A thread owns some columns of one bundle of rows and goes through the
// rows in order, several on their way at once. gridDim.y counts the bundles.
template <int N> struct AddBackwardKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 8;
    AddBackward call;

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int64_t d = gpu::global_index() * N;
        for (int64_t bundle = gpu::block_idx().y; bundle < call.bundles; bundle += gpu::grid_dim().y) {
            if (d < call.columns) run(bundle, d, entered, left);
        }
        if (call.counters == nullptr) return;
        if (call.dy.cast.count) add_counts(entered, gpu::shared<uint32_t>(), call.counters);
        if (call.exit_cast.count) add_counts(left, gpu::shared<uint32_t>(), call.counters + 1);
    }

    DEMI_DEVICE void run(int64_t bundle, int64_t d, LaneCount& entered, LaneCount& left) const {
        float factor[N], sum[N];
        DEMI_UNROLL
        for (int j = 0; j < N; ++j) {
            sum[j] = 0;
            factor[j] = 1;
            if (call.scaling != nullptr)
                factor[j] = cross(load_one(call.scaling, (d + j) * call.scaling_step, call.scaling_storage),
                                  call.scaling_cast);
        }
        const int64_t begin = bundle * call.bundle;
        const int64_t end = begin + call.bundle < call.rows ? begin + call.bundle : call.rows;
        int64_t b = begin / call.M, m = begin % call.M;
        for (int64_t row = begin; row < end; row += kAhead) {
            Raw8 dy[kAhead], source[kAhead];
            const int n = end - row < kAhead ? static_cast<int>(end - row) : kAhead;
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                dy[i] = fetch(call.dy, call.index[b], m, d);
                if (call.partial != nullptr) source[i] = fetch(call.source, b, m, d);
                if (++m == call.M) {
                    m = 0;
                    ++b;
                }
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= n) break;
                float g[N], other[N];
                open(g, dy[i], call.dy.storage);
                cross_all(g, call.dy.cast, entered);
                DEMI_UNROLL
                for (int j = 0; j < N; ++j) g[j] = call.alpha * g[j];
                if (call.grad_source != nullptr) {
                    DEMI_UNROLL
                    for (int j = 0; j < N; ++j) other[j] = call.scaling != nullptr ? g[j] * factor[j] : g[j];
                    cross_all(other, call.exit_cast, left);
                    store_all(call.grad_source, (row + i) * call.columns + d, call.to, other);
                }
                if (call.partial == nullptr) continue;
                open(other, source[i], call.source.storage);
                DEMI_UNROLL
                for (int j = 0; j < N; ++j)
                    sum[j] = multiply_add(g[j], cross(other[j], call.source.cast), sum[j]);
            }
        }
        if (call.partial != nullptr) store_all(call.partial, bundle * call.columns + d, Storage::f32, sum);
    }

    DEMI_DEVICE Raw8 fetch(const AddOperand& from, int64_t row, int64_t m, int64_t d) const {
        const int64_t at = row * from.row_step + m * from.m_step + d * from.step;
        if constexpr (N == 8) return load_raw(from.data, at, from.storage);
        Raw8 raw;
        raw.part[0].w[0] = gpu::bit_cast<uint32_t>(load_one(from.data, at, from.storage));
        return raw;
    }
    DEMI_DEVICE void open(float (&x)[N], const Raw8& raw, Storage s) const {
        if constexpr (N == 8)
            unpack(x, raw, s);
        else
            x[0] = gpu::bit_cast<float>(raw.part[0].w[0]);
    }
};

struct AddPartialsKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = 16;  // loads on their way
    const float* partial;
    float* sums;
    int64_t bundles, columns;

    DEMI_DEVICE void operator()() const {
        for (int64_t d = gpu::global_index(); d < columns; d += gpu::global_size()) {
            float sum = 0;
            for (int64_t first = 0; first < bundles; first += kAhead) {
                float x[kAhead];
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    x[i] = first + i < bundles ? partial[(first + i) * columns + d] : 0;
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    if (first + i < bundles) sum = multiply_add(1.0f, x[i], sum);
            }
            sums[d] = sum;
        }
    }
};

struct AddBackwardF64Kernel {
    static constexpr int threads = kThreads;
    AddBackward call;

    DEMI_DEVICE double dy(int64_t row, int64_t d) const {
        const int64_t b = row / call.M, m = row % call.M;
        const int64_t at = call.index[b] * call.dy.row_step + m * call.dy.m_step + d * call.dy.step;
        return static_cast<double>(call.alpha) * static_cast<const double*>(call.dy.data)[at];
    }
    DEMI_DEVICE void operator()() const {
        double* out = static_cast<double*>(call.grad_source);
        const double* scaling = static_cast<const double*>(call.scaling);
        const int64_t count = out != nullptr ? call.rows * call.columns : 0;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const int64_t d = i % call.columns;
            const double t = dy(i / call.columns, d);
            out[i] = scaling != nullptr ? t * scaling[d * call.scaling_step] : t;
        }
        if (call.sums == nullptr) return;
        for (int64_t d = gpu::global_index(); d < call.columns; d += gpu::global_size()) {
            double sum = 0;
            for (int64_t row = 0; row < call.rows; ++row) {
                const int64_t at = row / call.M * call.source.row_step + row % call.M * call.source.m_step +
                                   d * call.source.step;
                sum += dy(row, d) * static_cast<const double*>(call.source.data)[at];
            }
            static_cast<double*>(call.sums)[d] = sum;
        }
    }
};

}  // namespace

void launch_add(const AddForward& call, gpu::Stream stream) {
    gpu::launch(AddKernel{call}, gpu::blocks_for(call.tiles.tiles, 1, kMostBlocks), {kThreads},
                kMostTileRows * sizeof(RowPlace) + kCountScratch, stream);
}

void launch_add_backward(const AddBackward& call, gpu::Stream stream) {
    if (call.f64) {
        const int64_t most = call.grad_source != nullptr ? call.rows * call.columns : 0;
        gpu::launch(AddBackwardF64Kernel{call},
                    gpu::blocks_for(most > call.columns ? most : call.columns, kThreads), {kThreads}, 0,
                    stream);
        return;
    }
    constexpr int kBlock = 64;  // few bundles: small blocks keep all processors busy
    const int64_t groups = call.wide ? call.columns / 8 : call.columns;
    const gpu::Dim3 grid{gpu::blocks_for(groups, kBlock, 1 << 30).x,
                         static_cast<unsigned>(call.bundles < 65535 ? call.bundles : 65535)};
    if (is_quick(call))
        launch_add_backward_quick(call, stream);
    else if (call.wide)
        gpu::launch(AddBackwardKernel<8>{call}, grid, {kBlock}, kCountScratch, stream);
    else
        gpu::launch(AddBackwardKernel<1>{call}, grid, {kBlock}, kCountScratch, stream);
    if (call.partial == nullptr) return;
    gpu::launch(AddPartialsKernel{static_cast<const float*>(call.partial), static_cast<float*>(call.sums),
                                  call.bundles, call.columns},
                gpu::blocks_for(call.columns, kBlock), {kBlock}, 0, stream);
}

}  // namespace demi::gpu_kernels
