#include "ops/boundary/boundary_cuda.h"

#include "ops/boundary/boundary_lane_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1056;  // eight for each processor of a large GPU

DEMI_DEVICE int64_t offset_of(const Strided& s, int64_t i) {
    int64_t offset = 0;
    for (int d = s.rank - 1; d > 0; --d) {
        offset += i % s.sizes[d] * s.strides[d];
        i /= s.sizes[d];
    }
    return offset + i * s.strides[0];
}

struct CastKernel {
    static constexpr int threads = kThreads;
    const void* src;
    void* dst;
    CastSums* sums;
    int64_t count;
    Strided shape;
    Cast cast;
    Storage from, to;
    bool aligned;  // contiguous, both sides at 16 bytes

    DEMI_DEVICE void operator()() const {
        LaneCount lost;
        const int64_t eights = aligned ? count / 8 : 0;
        for (int64_t i = gpu::global_index(); i < eights; i += gpu::global_size()) {
            float x[8];
            load_eight(x, src, 8 * i, from);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) x[j] = cross(x[j], cast, lost);
            store_eight(dst, 8 * i, to, x);
        }
        for (int64_t i = 8 * eights + gpu::global_index(); i < count; i += gpu::global_size())
            store_one(dst, i, to, cross(load_one(src, offset_of(shape, i), from), cast, lost));
        if (cast.round && cast.count) add_counts(lost, gpu::shared<uint32_t>(), sums);
    }
};

template <class T> struct AmaxKernel {
    static constexpr int threads = kThreads;
    const T* src;
    double* highest;
    int64_t count;
    Strided shape;

    DEMI_DEVICE void operator()() const {
        gpu::compute_t<T> most = 0;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const gpu::compute_t<T> x = gpu::abs(gpu::load(src + offset_of(shape, i)));
            if (gpu::is_finite(x) && x > most) most = x;
        }
        double* all = gpu::shared<double>();
        most = gpu::warp_max(most);
        if (gpu::lane() == 0) all[gpu::warp()] = static_cast<double>(most);
        gpu::sync_threads();
        if (gpu::warp() != 0) return;
        const double one = gpu::warp_max(gpu::lane() < kThreads / 32 ? all[gpu::lane()] : 0.0);
        if (gpu::lane() == 0) highest[gpu::block_idx().x] = one;
    }
};

}  // namespace

void launch_cast(const void* src, Storage from, const Strided& shape, int64_t count, const Cast& cast,
                 void* dst, Storage to, CastSums* sums, gpu::Stream stream) {
    const bool aligned =
        shape.rank == 1 && shape.strides[0] == 1 && rows_aligned(src, 8, 2) && rows_aligned(dst, 8, 2);
    const CastKernel kernel{src, dst, sums, count, shape, cast, from, to, aligned};
    gpu::launch(kernel, gpu::blocks_for(count, kThreads * (aligned ? 8 : 1), kMostBlocks), {kThreads},
                kCountScratch, stream);
}

int64_t amax_blocks(int64_t count) { return gpu::blocks_for(count, kThreads * 8, kMostBlocks).x; }

void launch_amax(const void* src, DType type, const Strided& shape, int64_t count, double* highest,
                 gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        gpu::launch(AmaxKernel<T>{static_cast<const T*>(src), highest, count, shape},
                    {static_cast<unsigned>(amax_blocks(count))}, {kThreads}, kThreads / 32 * sizeof(double),
                    stream);
    });
}

}  // namespace demi::gpu_kernels
