#include "ops/boundary/boundary_cuda.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1056;  // eight for each processor of a large GPU

struct CastKernel {
    static constexpr int threads = kThreads;
    CastTensor c;
    bool aligned;  // contiguous, both sides at 16 bytes

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t eights = aligned ? c.shape.count / 8 : 0;
        for (int64_t i = gpu::global_index(); i < eights; i += gpu::global_size()) {
            float x[8];
            load_some(x, c.src.data, 8 * i, c.src.dtype);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] = cross(x[j], c.cast, lost);
            store_some(c.dst.data, 8 * i, c.dst.dtype, x);
        }
        for (int64_t i = 8 * eights + gpu::global_index(); i < c.shape.count; i += gpu::global_size()) {
            const float x = load_one(c.src.data, offsets_of(c.shape, i).at[0], c.src.dtype);
            store_one(c.dst.data, i, c.dst.dtype, cross(x, c.cast, lost));
        }
        add_counts(lost, gpu::shared<uint32_t>(), c.lost);
    }
};

template <class T> struct AmaxKernel {
    static constexpr int threads = kThreads;
    FindAmax c;

    DEMI_DEVICE void operator()() const {
        gpu::compute_t<T> most = 0;
        for (int64_t i = gpu::global_index(); i < c.shape.count; i += gpu::global_size()) {
            const T* src = static_cast<const T*>(c.src.data) + offsets_of(c.shape, i).at[0];
            const gpu::compute_t<T> x = gpu::abs(gpu::load(src));
            if (gpu::is_finite(x) && x > most) most = x;
        }
        double* all = gpu::shared<double>();
        most = gpu::warp_max(most);
        if (gpu::lane() == 0) all[gpu::warp()] = static_cast<double>(most);
        gpu::sync_threads();
        if (gpu::warp() != 0) return;
        const double one = gpu::warp_max(gpu::lane() < kThreads / 32 ? all[gpu::lane()] : 0.0);
        if (gpu::lane() == 0) c.highest[gpu::block_idx().x] = one;
    }
};

void cast(const CastTensor& c, Queue queue) {
    if (c.shape.count == 0) return;
    const bool aligned =
        c.shape.rank == 1 && c.shape.strides[0][0] == 1 && all_aligned(c.src.data, c.dst.data);
    gpu::launch(CastKernel{c, aligned},
                gpu::blocks_for(c.shape.count, kThreads * (aligned ? 8 : 1), kMostBlocks), {kThreads},
                kCountScratch, queue.stream);
}

void amax(const FindAmax& c, Queue queue) {
    gpu::dispatch_float(c.src.dtype, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        gpu::launch(AmaxKernel<T>{c}, gpu::blocks_for(c.shape.count, kThreads * 8, c.parts), {kThreads},
                    kThreads / 32 * sizeof(double), queue.stream);
    });
}

}  // namespace

const BoundaryKernels boundary_kernels{cast, amax, nullptr};

}  // namespace demi::DEMI_BACKEND
