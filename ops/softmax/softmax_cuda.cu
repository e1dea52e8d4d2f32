#include "ops/softmax/softmax_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr float kSmall = 0x1p-100f;  // what dy is multiplied with where its sums leave the range

// Nothing but -inf. The maximum alone may have lost a NaN.
template <class T, class Plan> DEMI_DEVICE bool all_masked(const Row<T, Plan>& x, gpu::compute_t<T> top) {
    return top == -gpu::infinity() && x.all_are(-gpu::infinity());
}

template <class T, class Plan, bool kLog> struct Forward {
    typedef gpu::compute_t<T> C;
    SoftmaxForward p;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t r) const {
        const Row<T, Plan> x(row<T>(p.x, r, p.width), p.width, aligned);
        T* y = row<T>(p.y, r, p.width);
        const C top = x.top();
        const bool masked = all_masked(x, top);
        const C sum = x.sum([&](C v) { return gpu::exp(v - top); });
        if constexpr (kLog) {
            const C shift = gpu::log(sum);
            x.write(y, [&](C v) { return masked ? C(-gpu::infinity()) : (v - top) - shift; });
        } else {
            const C scale = masked ? C(0) : 1 / sum;
            x.write(y, [&](C v) { return masked ? C(0) : gpu::exp(v - top) * scale; });
        }
    }
};

template <class T, class Plan, bool kLog> struct Backward {
    typedef gpu::compute_t<T> C;
    SoftmaxBackward p;
    bool aligned;

    // Of dy times small: with y for softmax, alone for log_softmax.
    DEMI_DEVICE C sum_of(const Row<T, Plan>& y, const Row<T, Plan>& dy, C small) const {
        if constexpr (kLog)
            return dy.sum([&](C b) { return b * small; });
        else
            return y.sum([&](C a, C b) { return a * (b * small); }, dy);
    }

    DEMI_DEVICE void operator()(int64_t r) const {
        const Row<T, Plan> y(row<T>(p.y, r, p.width), p.width, aligned);
        const Row<T, Plan> dy(row<T>(p.dy, r, p.width), p.width, aligned);
        const bool masked = kLog && all_masked(y, y.top());
        C small = 1, sum = sum_of(y, dy, small);
        if (!gpu::is_finite(sum)) sum = sum_of(y, dy, small = kSmall);
        const C back = 1 / small;
        const auto grad = [&](C a, C b) {
            if (kLog) return masked ? C(0) : gpu::fma(-gpu::exp(a), sum, b * small) * back;
            const C d = a * (b * small - sum);
            return (gpu::is_finite(d) ? d : a * (b * small / 4 - sum / 4) * 4) * back;
        };
        y.write(row<T>(p.dx, r, p.width), grad, dy);
    }
};

template <class T, class Plan> using LogForward = Forward<T, Plan, true>;
template <class T, class Plan> using ExpForward = Forward<T, Plan, false>;
template <class T, class Plan> using LogBackward = Backward<T, Plan, true>;
template <class T, class Plan> using ExpBackward = Backward<T, Plan, false>;

void forward(const SoftmaxForward& c, Queue queue) {
    const auto launch =
        c.log ? launch_rows<LogForward, SoftmaxForward> : launch_rows<ExpForward, SoftmaxForward>;
    launch(c.x.dtype, c, all_aligned(c.x.data, c.y.data), queue.stream);
}
void backward(const SoftmaxBackward& c, Queue queue) {
    const auto launch =
        c.log ? launch_rows<LogBackward, SoftmaxBackward> : launch_rows<ExpBackward, SoftmaxBackward>;
    launch(c.y.dtype, c, all_aligned(c.y.data, c.dy.data, c.dx.data), queue.stream);
}

}  // namespace

const SoftmaxKernels softmax_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
