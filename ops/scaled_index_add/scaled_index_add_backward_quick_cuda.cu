// The gradients of scaled_index_add where all is aligned and of one storage. A block takes one bundle of rows
// and 64 columns. All its threads load and multiply; 64 of them then add the products in the order of the
// rows, which the sums owe to the CPU, while the next rows are on their way.
#include "ops/boundary/boundary_lane_cuda.h"
#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kGroups = 8, kRows = 32, kColumns = 8 * kGroups;

template <Storage kStorage, bool kCasts> struct BackwardQuickKernel {
    static constexpr int threads = kGroups * kRows;
    AddBackward call;

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int t = static_cast<int>(gpu::thread_idx().x), r = t / kGroups;
        const int64_t d0 = static_cast<int64_t>(gpu::block_idx().x) * kColumns, d = d0 + t % kGroups * 8;
        for (int64_t bundle = gpu::block_idx().y; bundle < call.bundles; bundle += gpu::grid_dim().y) {
            const int64_t begin = bundle * call.bundle;
            const int64_t end = begin + call.bundle < call.rows ? begin + call.bundle : call.rows;
            const float sum = run(begin, end, r, d, entered, left);
            if (call.partial != nullptr && t < kColumns && d0 + t < call.columns)
                static_cast<float*>(call.partial)[bundle * call.columns + d0 + t] = one_nan(sum);
            gpu::sync_threads();
        }
        if constexpr (kCasts) {
            if (call.counters == nullptr) return;
            uint32_t* scratch = gpu::shared<uint32_t>() + 2 * kRows * kColumns;
            if (call.dy.cast.count) add_counts(entered, scratch, call.counters);
            if (call.exit_cast.count) add_counts(left, scratch, call.counters + 1);
        }
    }

    static DEMI_DEVICE void pass(float (&x)[8], const Cast& cast, LaneCount& lost) {
        if constexpr (kCasts) cross_eight(x, cast, lost);
    }
    static DEMI_DEVICE Cast quiet(Cast cast) {
        cast.count = false;
        return cast;
    }

    DEMI_DEVICE void fetch(Raw8& dy, Raw8& source, int64_t row, int64_t d) const {
        const int64_t b = row / call.M, m = row - b * call.M;
        dy = load_raw(call.dy.data, call.index[b] * call.dy.row_step + m * call.dy.m_step + d, kStorage);
        if (call.partial != nullptr)
            source =
                load_raw(call.source.data, b * call.source.row_step + m * call.source.m_step + d, kStorage);
    }

    // The sum of column t of the block, for its first threads.
    DEMI_DEVICE float run(int64_t begin, int64_t end, int r, int64_t d, LaneCount& entered,
                          LaneCount& left) const {
        float* products = gpu::shared<float>();  // kRows x kColumns, twice
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool inside = d < call.columns;
        LaneCount none;
        float factor[8];
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j)
            factor[j] = inside && call.scaling != nullptr
                            ? load_one(call.scaling, (d + j) * call.scaling_step, call.scaling_storage)
                            : 1;
        if (call.scaling != nullptr) pass(factor, quiet(call.scaling_cast), none);
        Raw8 dy, source;
        if (inside && begin + r < end) fetch(dy, source, begin + r, d);
        float sum = 0;
        for (int64_t first = begin; first < end; first += kRows) {
            const int64_t row = first + r;
            const Raw8 this_dy = dy, this_source = source;
            if (inside && row + kRows < end) fetch(dy, source, row + kRows, d);
            if (inside && row < end) {
                float g[8], x[8];
                unpack(g, this_dy, kStorage);
                pass(g, call.dy.cast, entered);
                DEMI_UNROLL
                for (int j = 0; j < 8; ++j) g[j] = call.alpha * g[j];
                if (call.partial != nullptr) {
                    unpack(x, this_source, kStorage);
                    pass(x, quiet(call.source.cast), none);
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[j] = g[j] * x[j];
                    store_eight(products, int64_t{r} * kColumns + t % kGroups * 8, Storage::f32, x);
                }
                if (call.grad_source != nullptr) {
                    if (call.scaling != nullptr) {
                        DEMI_UNROLL
                        for (int j = 0; j < 8; ++j) g[j] *= factor[j];
                    }
                    pass(g, call.exit_cast, left);
                    store_eight(call.grad_source, row * call.columns + d, kStorage, g);
                }
            }
            if (call.partial == nullptr) continue;
            gpu::sync_threads();  // these products are there, and the other half is read
            if (t < kColumns) {
                const int n = end - first < kRows ? static_cast<int>(end - first) : kRows;
                DEMI_UNROLL
                for (int i = 0; i < kRows; ++i)
                    if (i < n) sum = products[i * kColumns + t] + sum;
            }
            products = products == gpu::shared<float>() ? products + kRows * kColumns : gpu::shared<float>();
        }
        return sum;
    }
};

bool casts(const Cast& c) { return c.round || c.saturate || c.scale != 1 || c.undo != 1; }

template <Storage kStorage> void launch_as(const AddBackward& call, gpu::Stream stream) {
    const gpu::Dim3 grid{static_cast<unsigned>((call.columns + kColumns - 1) / kColumns),
                         static_cast<unsigned>(call.bundles < 65535 ? call.bundles : 65535)};
    const size_t shared = 2 * kRows * kColumns * sizeof(float) + kCountScratch;
    if (casts(call.dy.cast) || casts(call.source.cast) || casts(call.scaling_cast) || casts(call.exit_cast))
        gpu::launch(BackwardQuickKernel<kStorage, true>{call}, grid, {kGroups * kRows}, shared, stream);
    else
        gpu::launch(BackwardQuickKernel<kStorage, false>{call}, grid, {kGroups * kRows}, shared, stream);
}

}  // namespace

bool is_quick(const AddBackward& call) {
    return call.wide && (call.grad_source == nullptr || call.to == call.dy.storage) &&
           (call.partial == nullptr || call.source.storage == call.dy.storage);
}

void launch_add_backward_quick(const AddBackward& call, gpu::Stream stream) {
    if (call.dy.storage == Storage::f16)
        launch_as<Storage::f16>(call, stream);
    else if (call.dy.storage == Storage::bf16)
        launch_as<Storage::bf16>(call, stream);
    else
        launch_as<Storage::f32>(call, stream);
}

}  // namespace demi::gpu_kernels
