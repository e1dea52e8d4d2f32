#include "ops/layer_scale/layer_scale_cuda.h"

#include "ops/common/column_sums.cuh"

namespace demi::gpu_kernels {
namespace {

template <class T> struct Forward {
    static constexpr int threads = 256;
    LayerScaleForwardCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        typedef gpu::compute_t<T> C;
        const T *in = static_cast<const T*>(p.x), *add = static_cast<const T*>(p.residual);
        const C* gamma = static_cast<const C*>(p.gamma);
        for_flat_packs<T>(p.rows * p.width, aligned, [&](int64_t at, int count, bool whole) {
            Values<T> x = read_values(in + at, count, whole), more;
            if (add != nullptr) more = read_values(add + at, count, whole);
            int64_t column = at % p.width;
            Values<T> g;
            if (whole) g = read_beside<T>(gamma + column, count, true);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (i >= count) continue;
                const C factor = whole ? g.v[i] : gamma[column];
                column = column + 1 == p.width ? 0 : column + 1;
                x.v[i] = add != nullptr ? gpu::fma(x.v[i], factor, more.v[i]) : x.v[i] * factor;
            }
            write_values(static_cast<T*>(p.y) + at, x, count, whole);
        });
    }
};

template <class T, class Plan> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    LayerScaleBackwardCall p;
    int64_t per;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < p.rows ? begin + per : p.rows;
        const C* gamma = static_cast<const C*>(p.gamma);
        C* partial = p.dgamma != nullptr ? static_cast<C*>(p.partial) + block * p.width : nullptr;
        ColumnSums<T, Plan> dgamma(partial, p.width);
        for (int64_t r = begin + Plan::place(); r < end; r += Plan::kRows) {
            const T *x = static_cast<const T*>(p.x) + r * p.width,
                    *dy = static_cast<const T*>(p.dy) + r * p.width;
            T* dx = p.dx != nullptr ? static_cast<T*>(p.dx) + r * p.width : nullptr;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> d = read_values(dy + at, count, aligned);
                if (partial != nullptr) {
                    const Values<T> v = read_values(x + at, count, aligned);
                    DEMI_UNROLL
                    for (int i = 0; i < kPack<T>; ++i)
                        if (i < count) dgamma.multiply_add(k, at, i, d.v[i], v.v[i]);
                }
                if (dx == nullptr) return;
                const Values<T> g = read_beside<T>(gamma + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) d.v[i] *= g.v[i];
                write_values(dx + at, d, count, aligned);
            });
        }
        dgamma.finish(p.width, gpu::shared<C>());
    }
};

}  // namespace

void layer_scale_forward(DType type, const LayerScaleForwardCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned =
            call.width % kPack<T> == 0 && all_aligned(call.x, call.gamma, call.residual, call.y);
        const int64_t packs = (call.rows * call.width + kPack<T> - 1) / kPack<T>;
        gpu::launch(Forward<T>{call, aligned}, gpu::blocks_for(packs, 256), {256}, 0, stream);
    });
}

void layer_scale_backward(DType type, const LayerScaleBackwardCall& call, gpu::Stream stream) {
    const RowBlocks blocks = row_blocks(call.rows);
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        const bool aligned = call.width % kPack<T> == 0 && all_aligned(call.x, call.gamma, call.dy, call.dx);
        gpu::launch(Backward<T, Plan>{call, blocks.per, aligned}, {static_cast<unsigned>(blocks.count)},
                    {Plan::kBlock}, ColumnSums<T, Plan>::shared_bytes(call.width), stream);
    });
    if (call.dgamma != nullptr)
        sum_partials(type, {call.partial, call.dgamma, nullptr, blocks.count, call.width}, stream);
}

}  // namespace demi::gpu_kernels
