#include "ops/layernorm/layernorm_cuda.h"

#include "ops/common/column_sums.cuh"

namespace demi::gpu_kernels {
namespace {

template <class T, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    LayernormForwardCall p;
    bool aligned;

    DEMI_DEVICE Row<T, Plan> row(int64_t at) const {
        const T* x = static_cast<const T*>(p.x) + at;
        if (p.residual == nullptr) return Row<T, Plan>(x, p.width, aligned);
        return Row<T, Plan>(x, static_cast<const T*>(p.residual) + at, static_cast<T*>(p.sum) + at, p.width,
                            aligned);
    }
    DEMI_DEVICE void operator()() const {
        const C *weight = static_cast<const C*>(p.weight), *bias = static_cast<const C*>(p.bias);
        const C share = C(1) / static_cast<C>(p.width);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = row(r * p.width);
            C mean = 0, variance = 0;
            x.each(p.width, [&](C v) { mean += v; });
            mean = share * Plan::sum(mean);
            x.each(p.width, [&](C v) { variance += (v - mean) * (v - mean); });
            variance = share * Plan::sum(variance);
            const C rstd = C(1) / gpu::sqrt(variance + static_cast<C>(p.eps));
            T* y = static_cast<T*>(p.y) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> v = x.values(k, at, count), w, b;
                if (weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
                if (bias != nullptr) b = read_beside<T>(bias + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    const C normal = (v.v[i] - mean) * rstd;
                    v.v[i] =
                        gpu::fma(normal, weight != nullptr ? w.v[i] : C(1), bias != nullptr ? b.v[i] : C(0));
                }
                write_values(y + at, v, count, aligned);
            });
            if (Plan::rank() == 0) {
                static_cast<C*>(p.mean)[r] = mean;
                static_cast<C*>(p.rstd)[r] = rstd;
            }
        }
    }
};

// A block takes `per` rows that follow one another: dx of each, and its share of dweight and dbias.
template <class T, class Plan, bool kInput, bool kAffine> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    LayernormBackwardCall p;
    int64_t per;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < p.rows ? begin + per : p.rows;
        C* partial = kAffine ? static_cast<C*>(p.partial) + block * 2 * p.width : nullptr;
        ColumnSums<T, Plan> dweight(partial, p.width), dbias(kAffine ? partial + p.width : nullptr, p.width);
        for (int64_t r = begin + Plan::place(); r < end; r += Plan::kRows) row(r, dweight, dbias);
        if constexpr (kAffine) {
            dweight.finish(p.width, gpu::shared<C>());
            gpu::sync_threads();
            dbias.finish(p.width, gpu::shared<C>());
        }
    }
    DEMI_DEVICE void row(int64_t r, ColumnSums<T, Plan>& dweight, ColumnSums<T, Plan>& dbias) const {
        const Row<T, Plan> x(static_cast<const T*>(p.x) + r * p.width, p.width, aligned);
        const Row<T, Plan> dy(static_cast<const T*>(p.dy) + r * p.width, p.width, aligned);
        const C* weight = static_cast<const C*>(p.weight);
        const C mean = static_cast<const C*>(p.mean)[r], rstd = static_cast<const C*>(p.rstd)[r];
        C sum_g = 0, sum_gn = 0;
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            const Values<T> v = x.values(k, at, count), d = dy.values(k, at, count);
            Values<T> w;
            if (kInput && weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (i >= count) continue;
                const C normal = (v.v[i] - mean) * rstd;
                if constexpr (kAffine) {
                    dweight.multiply_add(k, at, i, d.v[i], normal);
                    dbias.add(k, at, i, d.v[i]);
                }
                if constexpr (kInput) {
                    const C g = weight != nullptr ? d.v[i] * w.v[i] : d.v[i];
                    sum_g += g;
                    sum_gn = gpu::fma(g, normal, sum_gn);
                }
            }
        });
        if constexpr (kInput) {
            const C share = C(1) / static_cast<C>(p.width);
            const C a = share * Plan::sum(sum_g), b = share * Plan::sum(sum_gn);
            const T* dsum = p.dsum != nullptr ? static_cast<const T*>(p.dsum) + r * p.width : nullptr;
            T* dx = static_cast<T*>(p.dx) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> v = x.values(k, at, count);
                Values<T> d = dy.values(k, at, count), w, more;
                if (weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
                if (dsum != nullptr) more = read_values(dsum + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    const C normal = (v.v[i] - mean) * rstd;
                    const C g = weight != nullptr ? d.v[i] * w.v[i] : d.v[i];
                    d.v[i] = rstd * gpu::fma(-normal, b, g - a);
                    if (dsum != nullptr) d.v[i] += more.v[i];
                }
                write_values(dx + at, d, count, aligned);
            });
        }
    }
};

template <class T, class Plan, bool kInput, bool kAffine>
void launch_backward(const LayernormBackwardCall& call, bool aligned, gpu::Stream stream) {
    const RowBlocks blocks = row_blocks(call.rows);
    const size_t sums = kAffine ? ColumnSums<T, Plan>::shared_bytes(call.width) : 0;
    const size_t scratch = Plan::template shared_bytes<gpu::compute_t<T>>();
    gpu::launch(Backward<T, Plan, kInput, kAffine>{call, blocks.per, aligned},
                {static_cast<unsigned>(blocks.count)}, {Plan::kBlock}, sums > scratch ? sums : scratch,
                stream);
}

}  // namespace

void layernorm_forward(gpu::Type type, const LayernormForwardCall& call, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        const bool aligned = call.width % kPack<T> == 0 &&
                             all_aligned(call.x, call.residual, call.weight, call.bias, call.sum, call.y);
        launch_rows(Forward<T, Plan>{call, aligned}, plan, call.rows,
                    Plan::template shared_bytes<gpu::compute_t<T>>(), stream);
    });
}

void layernorm_backward(gpu::Type type, const LayernormBackwardCall& call, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        const bool aligned =
            call.width % kPack<T> == 0 && all_aligned(call.x, call.weight, call.dy, call.dsum, call.dx);
        if (call.dweight == nullptr)
            launch_backward<T, Plan, true, false>(call, aligned, stream);
        else if (call.dx == nullptr)
            launch_backward<T, Plan, false, true>(call, aligned, stream);
        else
            launch_backward<T, Plan, true, true>(call, aligned, stream);
    });
    if (call.dweight != nullptr)
        sum_partials(type, {call.partial, call.dweight, call.dbias, row_blocks(call.rows).count, call.width},
                     stream);
}

}  // namespace demi::gpu_kernels
