#include "ops/l2_normalize/l2_normalize_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// The sum of squares of a row times a factor.
template <class T, class Plan>
DEMI_DEVICE gpu::compute_t<T> squares(const Row<T, Plan>& x, gpu::compute_t<T> factor) {
    return x.sum([&](gpu::compute_t<T> v) { return (v * factor) * (v * factor); });
}

template <class T, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    L2NormalizeForward p;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t r) const {
        const C eps = static_cast<C>(p.eps);
        const Row<T, Plan> x(row<T>(p.x, r, p.width), p.width, aligned);
        C square = squares(x, C(1)), factor = 1;
        int e = 0;
        if (!squares_fit(square)) {
            e = balance(x.largest());
            factor = gpu::ldexp(C(1), e);
            square = squares(x, factor);
        }
        const C length = gpu::sqrt(square), norm = gpu::ldexp(length, -e);
        const bool free = length > eps * factor;
        const C scale = C(1) / (free ? length : eps);
        if (!free) factor = 1;
        x.write(row<T>(p.y, r, p.width), [&](C v) { return v * factor * scale; });
        if (Plan::rank() == 0) elements<C>(p.norms)[r] = norm;
    }
};

template <class T, class Plan> struct Backward {
    typedef gpu::compute_t<T> C;
    L2NormalizeBackward p;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t r) const {
        const C eps = static_cast<C>(p.eps);
        const Row<T, Plan> x(row<T>(p.x, r, p.width), p.width, aligned);
        const Row<T, Plan> dy(row<T>(p.dy, r, p.width), p.width, aligned);
        const C norm = elements<C>(p.norms)[r];
        const bool free = norm > eps;
        C scale, along = 0, length = free ? norm : eps, factor = 1, down = 1;
        int back = 0;
        for (int turn = 0;; ++turn) {
            scale = C(1) / length;
            if (!free) break;  // the same in every thread of the row
            const auto product = [&](C v, C g) { return v * factor * scale * (g * down); };
            along = x.sum(product, dy) * scale;
            if (turn == 1 || (squares_fit(norm * norm) && gpu::is_finite(along))) break;
            const int e = balance(x.largest()), h = balance(dy.largest());
            factor = gpu::ldexp(C(1), e);
            down = gpu::ldexp(C(1), h);
            back = e - h;
            length = gpu::sqrt(squares(x, factor));
        }
        const auto grad = [&](C a, C b) {
            const C v = a * factor, g = b * down, d = scale * gpu::fma(-v, along, g);
            const C dx = gpu::is_finite(d) ? d : 4 * (scale * gpu::fma(-v, along / 4, g / 4));
            return back != 0 ? gpu::ldexp(dx, back) : dx;
        };
        x.write(row<T>(p.dx, r, p.width), grad, dy);
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
