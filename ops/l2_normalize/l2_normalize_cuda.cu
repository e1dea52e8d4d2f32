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
            const auto square_with = [&](C factor) {
                C square = 0;
                x.each(p.width, [&](C v) { square += (v * factor) * (v * factor); });
                return Plan::sum(square);
            };
            C square = square_with(1), factor = 1;
            int e = 0;
            if (!squares_fit(square)) {
                e = balance(x.largest(p.width));
                factor = gpu::ldexp(C(1), e);
                square = square_with(factor);
            }
            const C length = gpu::sqrt(square), norm = gpu::ldexp(length, -e);
            const bool free = length > eps * factor;
            const C scale = C(1) / (free ? length : eps);
            if (!free) factor = 1;
            T* y = static_cast<T*>(p.y) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> v = x.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) v.v[i] *= factor, v.v[i] *= scale;
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
            C scale, along = 0, length = free ? norm : eps, factor = 1, down = 1;
            int back = 0;
            for (int turn = 0;; ++turn) {
                scale = C(1) / length;
                if (!free) break;  // the same in every thread of the row
                C dot = 0;
                Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                    const Values<T> a = x.values(k, at, count), b = dy.values(k, at, count);
                    DEMI_UNROLL
                    for (int i = 0; i < kPack<T>; ++i)
                        if (i < count) dot += a.v[i] * factor * scale * (b.v[i] * down);
                });
                along = Plan::sum(dot) * scale;
                if (turn == 1 || (squares_fit(norm * norm) && gpu::is_finite(along))) break;
                const int e = balance(x.largest(p.width)), h = balance(dy.largest(p.width));
                factor = gpu::ldexp(C(1), e);
                down = gpu::ldexp(C(1), h);
                back = e - h;
                C square = 0;
                x.each(p.width, [&](C v) { square += (v * factor) * (v * factor); });
                length = gpu::sqrt(Plan::sum(square));
            }
            T* dx = static_cast<T*>(p.dx) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> a = x.values(k, at, count);
                Values<T> b = dy.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    const C v = a.v[i] * factor, g = b.v[i] * down, d = scale * gpu::fma(-v, along, g);
                    b.v[i] = gpu::is_finite(d) ? d : 4 * (scale * gpu::fma(-v, along / 4, g / 4));
                    if (back != 0) b.v[i] = gpu::ldexp(b.v[i], back);
                }
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
