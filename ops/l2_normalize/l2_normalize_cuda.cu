#include "ops/l2_normalize/l2_normalize_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

template <class T, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    L2NormalizeForward p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C eps = static_cast<C>(p.eps);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x(row<T>(p.x, r, p.width), p.width, aligned);
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
            T* y = row<T>(p.y, r, p.width);
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> v = x.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) v.v[i] *= factor, v.v[i] *= scale;
                write_values(y + at, v, count, aligned);
            });
            if (Plan::rank() == 0) elements<C>(p.norms)[r] = norm;
        }
    }
};

template <class T, class Plan> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    L2NormalizeBackward p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C eps = static_cast<C>(p.eps);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x(row<T>(p.x, r, p.width), p.width, aligned);
            const Row<T, Plan> dy(row<T>(p.dy, r, p.width), p.width, aligned);
            const C norm = elements<C>(p.norms)[r];
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
            T* dx = row<T>(p.dx, r, p.width);
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

void forward(const L2NormalizeForward& c, Queue queue) {
    launch_rows<Forward>(c.x.dtype, c, all_aligned(c.x.data, c.y.data), queue.stream);
}
void backward(const L2NormalizeBackward& c, Queue queue) {
    launch_rows<Backward>(c.x.dtype, c, all_aligned(c.x.data, c.dy.data, c.dx.data), queue.stream);
}

}  // namespace

const L2NormalizeKernels l2_normalize_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
