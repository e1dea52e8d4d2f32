#include "ops/l2_normalize/l2_normalize_cuda.h"

#include "ops/rows/row_plan_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <class T, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    L2NormalizeForwardCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C eps = static_cast<C>(p.eps);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x(static_cast<const T*>(p.x) + r * p.width, p.width, aligned);
            C square = 0;
            x.each(p.width, [&](C v) { square += v * v; });
            const C norm = gpu::sqrt(Plan::sum(square));
            const C scale = C(1) / (norm > eps ? norm : eps);
            T* y = static_cast<T*>(p.y) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> v = x.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) v.v[i] *= scale;
                write_values(y + at, v, count, aligned);
            });
            if (Plan::rank() == 0) static_cast<C*>(p.norms)[r] = norm;
        }
    }
};

template <class T, class Plan> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    L2NormalizeBackwardCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C eps = static_cast<C>(p.eps);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x(static_cast<const T*>(p.x) + r * p.width, p.width, aligned);
            const Row<T, Plan> dy(static_cast<const T*>(p.dy) + r * p.width, p.width, aligned);
            const C norm = static_cast<const C*>(p.norms)[r];
            const bool free = norm > eps;
            const C scale = C(1) / (free ? norm : eps);
            C along = 0;
            if (free) {  // the same in every thread of the row
                C dot = 0;
                Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                    const Values<T> a = x.values(k, at, count), b = dy.values(k, at, count);
                    DEMI_UNROLL
                    for (int i = 0; i < kPack<T>; ++i)
                        if (i < count) dot += a.v[i] * scale * b.v[i];
                });
                along = Plan::sum(dot) * scale;
            }
            T* dx = static_cast<T*>(p.dx) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> a = x.values(k, at, count);
                Values<T> b = dy.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) b.v[i] = scale * gpu::fma(-a.v[i], along, b.v[i]);
                write_values(dx + at, b, count, aligned);
            });
        }
    }
};

}  // namespace

void l2_normalize_forward(DType type, const L2NormalizeForwardCall& call, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        launch_rows(Forward<T, Plan>{call, call.width % kPack<T> == 0 && all_aligned(call.x, call.y)}, plan,
                    call.rows, Plan::template shared_bytes<gpu::compute_t<T>>(), stream);
    });
}

void l2_normalize_backward(DType type, const L2NormalizeBackwardCall& call, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        const bool aligned = call.width % kPack<T> == 0 && all_aligned(call.x, call.dy, call.dx);
        launch_rows(Backward<T, Plan>{call, aligned}, plan, call.rows,
                    Plan::template shared_bytes<gpu::compute_t<T>>(), stream);
    });
}

}  // namespace demi::gpu_kernels
