#include "ops/layer_scale/layer_scale_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T> struct Forward {
    LayerScaleForward c;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t r, int64_t at, int count) const {
        const T *in = row<T>(c.x, r, c.width), *add = row<T>(c.residual, r, c.width);
        Values<T> x = read_values(in + at, count, aligned), more;
        if (add != nullptr) more = read_values(add + at, count, aligned);
        const Values<T> gamma = read_beside<T>(elements<gpu::compute_t<T>>(c.gamma) + at, count, aligned);
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i)
            x.v[i] = add != nullptr ? gpu::fma(x.v[i], gamma.v[i], more.v[i]) : x.v[i] * gamma.v[i];
        write_values(row<T>(c.y, r, c.width) + at, x, count, aligned);
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
    const bool lines = all_aligned(c.x.data, c.gamma.data, c.residual.data, c.y.data);
    launch_packs<Forward>(c.x.dtype, c, lines, c.rows, c.width, queue);
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
