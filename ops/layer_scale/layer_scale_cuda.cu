#include "ops/layer_scale/layer_scale_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> struct Forward {
    static constexpr int threads = 256;
    LayerScaleForward c;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        typedef gpu::compute_t<T> C;
        const T *in = elements<T>(c.x), *add = elements<T>(c.residual);
        const C* gamma = elements<C>(c.gamma);
        for_flat_packs<T>(c.rows * c.width, aligned, [&](int64_t at, int count, bool whole) {
            Values<T> x = read_values(in + at, count, whole), more;
            if (add != nullptr) more = read_values(add + at, count, whole);
            int64_t column = at % c.width;
            Values<T> g;
            if (whole) g = read_beside<T>(gamma + column, count, true);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (i >= count) continue;
                const C factor = whole ? g.v[i] : gamma[column];
                column = column + 1 == c.width ? 0 : column + 1;
                x.v[i] = add != nullptr ? gpu::fma(x.v[i], factor, more.v[i]) : x.v[i] * factor;
            }
            write_values(elements<T>(c.y) + at, x, count, whole);
        });
    }
};

template <class T, class Plan> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    LayerScaleBackward c;
    C* sums;  // partial sums of dgamma, or null
    int64_t per;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < c.rows ? begin + per : c.rows;
        const C* gamma = elements<C>(c.gamma);
        C* partial = sums != nullptr ? sums + block * c.width : nullptr;
        ColumnSums<T, Plan> dgamma(partial, c.width);
        for (int64_t r = begin + Plan::place(); r < end; r += Plan::kRows) {
            const T *x = row<T>(c.x, r, c.width), *dy = row<T>(c.dy, r, c.width);
            T* dx = row<T>(c.dx, r, c.width);
            Plan::template each_pack<T>(c.width, [&](int k, int64_t at, int count) {
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
        dgamma.finish(c.width, gpu::shared<C>());
    }
};

void forward(const LayerScaleForward& c, Queue queue) {
    gpu::dispatch_float(c.x.dtype, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned =
            c.width % kPack<T> == 0 && all_aligned(c.x.data, c.gamma.data, c.residual.data, c.y.data);
        const int64_t packs = (c.rows * c.width + kPack<T> - 1) / kPack<T>;
        gpu::launch(Forward<T>{c, aligned}, gpu::blocks_for(packs, 256), {256}, 0, queue.stream);
    });
}

void backward(const LayerScaleBackward& c, Queue queue) {
    const RowBlocks blocks = row_blocks(c.rows);
    with_rows(c.x.dtype, c.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef gpu::compute_t<T> C;
        typedef decltype(plan) Plan;
        const bool aligned =
            c.width % kPack<T> == 0 && all_aligned(c.x.data, c.gamma.data, c.dy.data, c.dx.data);
        const bool sums = c.dgamma.data != nullptr;
        const Scratch partial(sums ? static_cast<size_t>(blocks.count * c.width) * sizeof(C) : 0, queue);
        gpu::launch(Backward<T, Plan>{c, sums ? partial.as<C>() : nullptr, blocks.per, aligned},
                    {static_cast<unsigned>(blocks.count)}, {Plan::kBlock},
                    ColumnSums<T, Plan>::shared_bytes(c.width), queue.stream);
        if (sums)
            sum_partials(c.x.dtype, {partial.as<C>(), c.dgamma.data, nullptr, blocks.count, c.width},
                         queue.stream);
    });
}

}  // namespace

const LayerScaleKernels layer_scale_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
